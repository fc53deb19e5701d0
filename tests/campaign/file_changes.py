"""Which of Python's audit events change files."""

import os

CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def changed_path(event: str, arguments: tuple) -> str | None:
    """The path that an event is about to change, as it was given; None of any other event."""
    if event == "open":
        path, _, flags = arguments
        if not flags & WRITING:
            return None
    elif event in CHANGES:
        # A link is made where its second argument says.
        path = arguments[1] if event in ("os.link", "os.symlink") else arguments[0]
    else:
        return None
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None


def is_change(event: str, arguments: tuple, folder: str) -> bool:
    """Whether an event changes a file in a folder; shutil.rmtree names files below an open folder."""
    path = changed_path(event, arguments)
    return path is not None and (not os.path.isabs(path) or path.startswith(folder))
