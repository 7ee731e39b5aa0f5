"""What a part imports of ours it declares, and its image holds that and nothing else."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBS = {
    folder.name for folder in (ROOT / "libs").iterdir() if (folder / "pyproject.toml").is_file()
}
SERVICES = sorted(folder.parent.name for folder in (ROOT / "services").glob("*/pyproject.toml"))
PARTS = [*(f"libs/{name}" for name in sorted(LIBS)), *(f"services/{name}" for name in SERVICES)]

IMPORTED = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)


def declared(part: str) -> set[str]:
    """Libs in the part's pyproject."""
    project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    names = (requirement.split("[")[0].strip() for requirement in project["dependencies"])
    ours = {name.removeprefix("modelmill-").replace("-", "_") for name in names}
    return ours & LIBS


@cache
def imported(part: str) -> set[str]:
    """Libs that the part's sources import, wherever in a file."""
    found: set[str] = set()
    for file in (ROOT / part / "src").rglob("*.py"):
        found |= set(IMPORTED.findall(file.read_text("utf-8")))
    # The generated code has the name of the product.
    named = {
        "contracts" if name == "modelmill" else name.removeprefix("modelmill_") for name in found
    }
    return (named & LIBS) - {Path(part).name}


def needed(part: str) -> set[str]:
    """Folders of the part, of the libs that it imports, and of theirs."""
    return {part}.union(*(needed(f"libs/{name}") for name in imported(part)))


@pytest.mark.parametrize("part", [part for part in PARTS if part != "libs/contracts"])
def test_a_part_declares_exactly_what_it_imports_of_ours(part: str):
    assert declared(part) == imported(part)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_exactly_what_its_service_needs_of_ours(service: str):
    script, part = ROOT / "deploy" / "images" / "parts.py", f"services/{service}"
    printed = subprocess.run(
        [sys.executable, script, ROOT / part], capture_output=True, text=True, check=True
    )
    installed = {str(Path(line).relative_to(ROOT)) for line in printed.stdout.splitlines()}

    mill = needed("libs/cli") if service == "data_prep" else set()
    assert installed == needed(part) | mill
