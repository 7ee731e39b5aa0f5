"""Virtual environments of one installed package and what it needs, made without a network."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

_NAME = re.compile(r"[\w.-]+")


def environment_of(folder: Path, package: str) -> Path:
    """Make a virtual environment that has of this one's packages that one and what it needs.

    Returns:
        Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [place] = folder.glob("lib/python*/site-packages")
    for name in needed_by(package):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            if not (place / top).exists():
                (place / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def needed_by(package: str) -> set[str]:
    """The package and, transitively, all that it requires without extras."""
    wanted = [text for text in distribution(package).requires or () if "extra ==" not in text]
    names = [found[0] for text in wanted if (found := _NAME.match(text))]
    return {package}.union(*map(needed_by, names))


def without_checkout() -> dict[str, str]:
    """This process's environment, less what would let a child import from elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
