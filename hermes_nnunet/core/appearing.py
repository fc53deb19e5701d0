"""Files that another machine writes into a folder that both share."""

import time
from pathlib import Path

# A network file system may show a new file with a delay.
PATIENCE_S = 10.0
_POLL_S = 0.1


def appears(path: Path, patience_s: float) -> bool:
    """Whether a file is seen here within this time."""
    deadline = time.monotonic() + patience_s
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
