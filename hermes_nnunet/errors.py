"""Errors that a user can mend."""


class HermesError(Exception):
    """A problem in the user's data or call: one line that names the file, the value and what to do."""


class UsageError(HermesError):
    """A call that no data could make right."""
