"""Errors that a user can mend."""


class HermesError(Exception):
    """A problem in the user's data or call: one line that names the file, the value and what to do."""


class UsageError(HermesError):
    """A call that no data could make right."""


class CommandEndedError(HermesError, SystemExit):
    """A command that cannot go on.

    nnU-Net's own commands catch nothing. Python then prints this error's line without a traceback, and exits with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message


class TrainingEndedError(CommandEndedError):
    """A training that cannot go on."""
