"""What is slow to make and only read is made once for all processes of a test run."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made_once(base_temp: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` makes of an empty path, shared by all workers of this test run.

    The first one who asks for `name` makes it while the others wait. When `make` fails nothing is
    left, so whoever comes next tries as well and says why by itself. `base_temp` is what pytest's
    `tmp_path_factory.getbasetemp()` says.

    Returns:
        The folder, to be read and not to be changed.
    """
    folder = _run_folder(base_temp) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            half_made = folder.with_suffix(".half-made")
            shutil.rmtree(half_made, ignore_errors=True)
            make(half_made)
            half_made.rename(folder)
    return folder


def _run_folder(base_temp: Path) -> Path:
    """Of the whole run: each worker of xdist has one of its own below it."""
    return base_temp.parent if "PYTEST_XDIST_WORKER" in os.environ else base_temp
