"""Folders that are slow to make and only read are made once, for all processes and runs."""

import fcntl
import shutil
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path


def kept_for_runs(
    kept: Path,
    name: str,
    make: Callable[[Path], object],
    *,
    inputs: Iterable[Path],
    packages: Iterable[str],
) -> Path:
    """The folder that `make` makes of an empty path, shared by all runs until made of other things.

    The first one who asks for `name` makes it while the others wait. When `make` fails nothing is
    left, so whoever comes next tries as well and says why by itself.

    Args:
        kept: where it lies: a folder that git ignores.
        inputs: files and folders that it is made of, the program that makes it among them.
        packages: distributions whose version it depends on.

    Returns:
        The folder, to be read and not to be changed. One that was made of something else is gone.
    """
    digest = sha256()
    for given in inputs:
        for file in sorted(given.rglob("*")) if given.is_dir() else [given]:
            if file.is_file():
                digest.update(f"{file.relative_to(given)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    digest.update(" ".join(f"{each} {version(each)}" for each in packages).encode())
    kept.mkdir(parents=True, exist_ok=True)
    made = _made_in(kept, f"{name}-{digest.hexdigest()[:16]}", make)
    for other in kept.glob(f"{name}-*"):
        if other.is_dir() and len(other.name) == len(made.name) and other != made:
            shutil.rmtree(other, ignore_errors=True)
    return made


def _made_in(parent: Path, name: str, make: Callable[[Path], object]) -> Path:
    folder = parent / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            half_made = folder.with_suffix(".half-made")
            shutil.rmtree(half_made, ignore_errors=True)
            make(half_made)
            half_made.rename(folder)
    return folder
