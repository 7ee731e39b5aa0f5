"""house.prompt_functions and .prompt_files: what a prompt passes between route and `Generate`.

    python -m tests.bench.prompt_path --before FOLDER [--keep]

FOLDER is a checkout of the commit before, installed by its own `make install`. In each tree a chat
goes through the whole stack (`decode.path.1` of its bench) while its gateway is traced: functions
of the product (libs/ and services/, nothing generated) that run in the request's context from the
call of the chat route until inference's `Generate` is called, and the files in which they are.
Value: the number after the change; ratio: after over before. `--keep` writes
deploy/bench/house.json.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench.figures import Entry
from tests.bench.prompt_path_trace.sitecustomize import WRITE_TO
from tests.bench.report import show
from tests.bench.slowdown import RESULT, keep

TRACE = Path(__file__).with_name("prompt_path_trace")
NOT_PRODUCT = ("libs/contracts/", "libs/testkit/")


def functions(tree: Path) -> list[tuple[str, str]]:
    """File and name of each function, in the order in which they first ran.

    Raises:
        subprocess.CalledProcessError: the bench of the tree failed.
        FileNotFoundError: no prompt was seen on its way.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        subprocess.run(
            [".venv/bin/python", "-m", "tests.bench", "decode.path.1", "--quick"],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(TRACE), WRITE_TO: str(file)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seen = json.loads(file.read_bytes())
    found = []
    for file_name, function in seen:
        path = Path(file_name)
        if not path.is_relative_to(tree.resolve()):
            continue
        name = str(path.relative_to(tree.resolve()))
        if name.startswith(("libs/", "services/")) and not name.startswith(NOT_PRODUCT):
            found.append((name, function))
    return found


def _entry(name: str, unit: str, was: int, now: int) -> Entry:
    ratio = now / was
    return Entry(
        id=f"house.prompt_{name}",
        value=now,
        unit=unit,
        against=f"{was} before",
        ratio=ratio,
        ci95=(ratio, ratio),
        goal="fewer",
        met=now < was,
        note=f"{now - was:+}; a count, so its interval is a point",
    )


def main() -> None:
    """Trace both, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.prompt_path")
    parser.add_argument("--before", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    given = parser.parse_args()
    console = Console()
    was, now = functions(given.before), functions(Path.cwd())
    for name, function in now:
        console.print(f"{name} {function}", highlight=False)
    files = [len({name for name, _ in found}) for found in (was, now)]
    entries = [
        _entry("functions", "functions", len(was), len(now)),
        _entry("files", "files", *files),
    ]
    show(entries, console)
    if given.keep:
        keep(entries)


if __name__ == "__main__":
    main()
