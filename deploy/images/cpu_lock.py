"""Turns a lock into that of the variant `cpu`: PyTorch's own wheels for CPUs, and nothing of CUDA.

    cpu_lock.py LOCK WHEELS > REQUIREMENTS

WHEELS is a folder with these wheels, since no index that `make lock` reads has them; what is
printed demands their hashes. Runs while an image is built, with the standard library alone.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

OF_CUDA = re.compile(r"(nvidia-(?!ml-py=)[\w-]+|cuda-[\w-]+|triton)==")
"""`nvidia-ml-py` stays: it asks a driver, where there is one, how busy a GPU is."""
OF_TORCH = re.compile(r"(torch|torchvision)==([0-9.]+)")


def cpu_lock(lock: str, wheels: Path) -> Iterator[str]:
    """The entries of the lock of the variant.

    Raises:
        FileNotFoundError: The folder lacks a wheel; the message says how to get it.
    """
    # As deploy/supply/locked.py splits it, which needs more than the standard library.
    for entry in re.split(r"\n(?=\S)", lock):
        found = OF_TORCH.match(entry)
        if found:
            name, version = found.groups()
            hashed = hashlib.sha256(_wheel(wheels, name, version).read_bytes()).hexdigest()
            yield f"{name}=={version}+cpu --hash=sha256:{hashed}"
        elif not OF_CUDA.match(entry):
            yield entry


def _wheel(wheels: Path, name: str, version: str) -> Path:
    found = [*wheels.glob(f"{name}-{version}+cpu-cp311-cp311-*.whl")]
    if len(found) == 1:
        return found[0]
    raise FileNotFoundError(
        f"the folder TORCH_WHEELS has {len(found)} wheels {name}-{version}+cpu for Python 3.11. Get"
        " one: pip download --no-deps --python-version 3.11 --only-binary :all: -d FOLDER"
        f" {name}=={version}+cpu --index-url https://download.pytorch.org/whl/cpu"
    )


if __name__ == "__main__":
    try:
        print(*cpu_lock(Path(sys.argv[1]).read_text("utf-8"), Path(sys.argv[2])), sep="\n")
    except FileNotFoundError as error:
        sys.exit(str(error))
