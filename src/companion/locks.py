"""Locks between processes, on one machine or on several that share a folder."""

import os
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock


def lock(path: Path) -> BaseFileLock:
    """A lock that the system frees when its holder ends (flock), good where flock reaches every machine.

    With COMPANION_LOCKS=soft it is a file that is there while the lock is held, which any shared folder can
    do; one that a machine left when it broke down has to be removed by hand.
    """
    return (SoftFileLock if os.environ.get("COMPANION_LOCKS") == "soft" else FileLock)(path)
