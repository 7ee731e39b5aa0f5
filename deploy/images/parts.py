"""Says which folders an image's service is installed from: its own, and the libs that it needs."""

import sys
import tomllib
from pathlib import Path


def parts_of(part: Path) -> set[Path]:
    """The folder, and those of its libs and theirs, by what each `pyproject.toml` declares.

    Services that `mill up` starts are declared as well, and are no libs.
    """
    root = part.parents[1]
    project = tomllib.loads((part / "pyproject.toml").read_text("utf-8"))["project"]
    names = (named.split("[")[0].strip() for named in project["dependencies"])
    ours = (name.removeprefix("modelmill-") for name in names if name.startswith("modelmill-"))
    libs = (root / "libs" / name.replace("-", "_") for name in ours)
    return {part}.union(*map(parts_of, filter(Path.is_dir, libs)))


WITH_MILL = "data_prep"
"""Whose image has `mill`, too: a pod of the Helm chart runs `mill doctor --pod` in it."""


def parts_in_image(service: Path) -> set[Path]:
    """What the image of a service is installed from; locks are of services alone."""
    mill = parts_of(service.parents[1] / "libs" / "cli") if service.name == WITH_MILL else set()
    return parts_of(service) | mill


if __name__ == "__main__":
    print(*sorted(parts_in_image(Path(sys.argv[1]))), sep="\n")
