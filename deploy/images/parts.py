"""Says which folders a service is installed from: its own and those of the libs that it needs."""

import sys
import tomllib
from pathlib import Path


def parts_of(part: Path) -> set[Path]:
    """The folder, and those of its libs and theirs, by what each `pyproject.toml` declares."""
    root = part.parents[1]
    project = tomllib.loads((part / "pyproject.toml").read_text("utf-8"))["project"]
    names = (named.split("[")[0].strip() for named in project["dependencies"])
    ours = (name.removeprefix("modelmill-") for name in names if name.startswith("modelmill-"))
    libs = (root / "libs" / name.replace("-", "_") for name in ours)
    return {part}.union(*map(parts_of, libs))


if __name__ == "__main__":
    print(*sorted(parts_of(Path(sys.argv[1]))), sep="\n")
