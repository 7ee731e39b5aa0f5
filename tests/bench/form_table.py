"""form_table: which architectures have which forms, and why not others.

    python -m tests.bench.form_table [--only MODEL_TYPE ...] [--afresh] [--keep]

A tiny random model of each architecture (`tiny_architectures`) is ordered in every form of the
optimizer-builder: what refuses before any work, and then the child process of a build, which
exports, quantises, checks, scores and measures. A cell is `works`, or what the product said.

What is done lies in build/bench/form_table.jsonl, and is not done again unless --afresh.
`forms.table.decided`: cells that work, or were refused with a message of ours. `forms.table.works`:
those that work. `--keep` writes both into deploy/bench/forms.json, and the table into
docs/reference/optimizer-builder-forms.md.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from modelmill_jobs.errors import JobFailed
from modelmill_optimizer_builder.build_model import refuse_architecture, refuse_machine
from modelmill_optimizer_builder.domain.forms import FORMS, PRUNED
from modelmill_optimizer_builder.tensorrt.build import missing_for_engines
from rich.console import Console
from rich.table import Table

from tests.bench.figures import Entry
from tests.bench.kept_entries import keep_entries
from tests.bench.tiny_architectures import ARCHITECTURES, Architecture

RESULT, PAGE = Path("deploy/bench/forms.json"), Path("docs/reference/optimizer-builder-forms.md")
DONE = Path("build/bench/form_table.jsonl")
TRIED = (
    *("llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "deepseek_v3"),
    *("gemma", "gemma2", "gemma3_text", "phi3"),
)
"""Model types of the table, as config.json has them."""
TABLED = tuple(name for name in FORMS if name != PRUNED)
"""Forms of the table; what is pruned takes a plan, and is a source of these."""
BEGIN, END = "<!-- tests.bench.form_table -->", "<!-- end of the table -->"
WORKS = "works"
UNEXPLAINED = ("Traceback", "CHILD_DIED", "INTERNAL")
"""What stands in messages that say nothing of the model."""
KINDS = ("person", "animal", "plant")
TEST_ROWS, TRAIN_ROWS = 8, 24
FIGURES = "of a table whose cells work, or are refused with a message of ours"
Cells = Mapping[tuple[str, str], str]
"""By model type and form."""


class Port:
    """Port of a build's child process of which nobody hears."""

    stop_requested = False

    def __init__(self, request: Mapping[str, Any], folder: Path) -> None:
        self.request, self.folder = request, folder

    def report(self, _phase: str, **_rest: Any) -> None:
        """See `modelmill_jobs.child.ChildPort`."""


def cell(form: str, base: Path, dataset: Path, place: Path) -> str:
    """What becomes of an order; imports torch."""
    from modelmill_jobs.child import ChildFailure
    from modelmill_optimizer_builder.child import main as build

    request = {
        "form": form,
        "base": str(base),
        "adapter": None,
        "dataset": str(dataset),
        "choices": list(KINDS),
        "max_rows": 0,
        "max_accuracy_loss": 1.0,
        "is_candidate": False,
        "tuned": None,
        "target": str(place / "built"),
    }
    try:
        refuse_machine(form, missing_for_engines)
        refuse_architecture(form, base)
        place.mkdir()
        build(Port(request, place))
    except (ChildFailure, JobFailed) as error:
        return f"{error.code}: {error.message}".replace(str(base), "FOLDER")
    return WORKS


def write_dataset(folder: Path) -> Path:
    """Rows with choices, a few to train on and a few to score."""
    folder.mkdir()
    for split, rows in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
            for number in range(rows):
                messages = [
                    {"role": "user", "content": f"thing {number}: the offspring who came first"},
                    {"role": "assistant", "content": KINDS[number % len(KINDS)]},
                ]
                lines.write(json.dumps({"row": number, "messages": messages}) + "\n")
    return folder


def measure_row(model_type: str, forms: Sequence[str], place: Path) -> None:
    """Print a line of JSON for each form; the process of one architecture."""
    from tests.bench.tiny_architectures import make

    architecture = architecture_of(model_type)
    base = make(architecture, place / "base")
    dataset = write_dataset(place / "rows")
    for form in forms:
        said = cell(form, base, dataset, place / form)
        print(f"\n{json.dumps([form, said])}", flush=True)


def architecture_of(model_type: str) -> Architecture:
    return next(it for it in ARCHITECTURES if it.model_type == model_type)


def row(model_type: str, forms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Forms and what became of each; a form in which the process dies is told, and the rest go
    on."""
    waiting = list(forms)
    while waiting:
        with (
            TemporaryDirectory(prefix="form-table-") as place,
            TemporaryFile("w+") as log,
        ):
            command = [sys.executable, "-m", "tests.bench.form_table", "--row", model_type]
            command += ["--forms", *waiting, "--place", place]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as child:
                for line in child.stdout:
                    if line.startswith('["'):
                        form, said = json.loads(line)
                        waiting.remove(form)
                        yield form, said
            log.seek(0)
            words = log.read().strip().splitlines() or [f"status {child.returncode}"]
        if waiting:
            yield waiting.pop(0), f"CHILD_DIED: {words[-1]}"


def measured(wanted: Sequence[str], console: Console) -> dict[tuple[str, str], str]:
    """All cells; those that are done already are read."""
    cells = read_done()
    for model_type in wanted:
        forms = [form for form in TABLED if (model_type, form) not in cells]
        for form, said in row(model_type, forms):
            cells[model_type, form] = said
            DONE.parent.mkdir(parents=True, exist_ok=True)
            with DONE.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([model_type, form, said]) + "\n")
            console.print(f"{model_type} {form}: {said}", markup=False)
    return {key: said for key, said in cells.items() if key[0] in wanted and key[1] in TABLED}


def read_done() -> dict[tuple[str, str], str]:
    if not DONE.is_file():
        return {}
    lines = [json.loads(line) for line in DONE.read_text("utf-8").splitlines()]
    return {(model_type, form): said for model_type, form, said in lines}


def is_decided(said: str) -> bool:
    """Whether a cell works, or has a message of ours."""
    return not any(mark in said for mark in UNEXPLAINED)


def entries(cells: Cells) -> list[Entry]:
    """Of the whole table."""
    works = sum(said == WORKS for said in cells.values())
    undecided = [" ".join(key) for key, said in cells.items() if not is_decided(said)]
    decided = len(cells) - len(undecided)
    note = f"of {len(cells)} {FIGURES}; not decided: {', '.join(undecided) or 'none'}"
    return [
        _entry("forms.table.decided", decided, cells, "all", not undecided, note),
        _entry("forms.table.works", works, cells, "", None, f"of {len(cells)}, which are built"),
    ]


def _entry(name: str, count: int, cells: Cells, goal: str, is_met: bool | None, note: str) -> Entry:
    share = count / len(cells)
    return Entry(
        name, count, "cells", "all of the table", share, goal, is_met, (share, share), note
    )


def section(cells: Cells) -> str:
    """The table as a part of the page; messages stand below it."""
    types = [name for name in TRIED if any(key[0] == name for key in cells)]
    messages: list[str] = []
    marks = {key: _mark(told(key, cells[key]), messages) for key in sorted(cells, key=_order)}
    lines = [
        "Tiny random models of each architecture, ordered in every form by",
        "`python -m tests.bench.form_table`. A number points to what was said of FORM.",
    ]
    for group in ("openvino-|onnx-", "compressed-|tensorrt-", "gguf-"):
        forms = [form for form in TABLED if form.startswith(tuple(group.split("|")))]
        lines += ["", f"| architecture | {' | '.join(f'`{form}`' for form in forms)} |"]
        lines.append(f"|---|{'---|' * len(forms)}")
        for name in types:
            found = " | ".join(marks[name, form] for form in forms)
            lines.append(f"| `{name}` | {found} |")
    for number, message in enumerate(messages, 1):
        item = textwrap.wrap(
            f"{number}. `{message}`", 118, subsequent_indent="   ", break_on_hyphens=False
        )
        lines += ([""] if number == 1 else []) + item
    return "\n".join([BEGIN, *lines, END])


def told(key: tuple[str, str], said: str) -> str:
    """A cell without the name of its form, so that forms share messages."""
    return " ".join(said.replace(key[1], "FORM").replace("`", "'").split())


def _order(key: tuple[str, str]) -> tuple[int, int]:
    return [*FORMS].index(key[1]), TRIED.index(key[0])


def _mark(said: str, messages: list[str]) -> str:
    if said == WORKS:
        return "✓"
    if said not in messages:
        messages.append(said)
    return str(messages.index(said) + 1)


def write_page(cells: Cells) -> None:
    """Put the table into the page, in place of the last one."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{section(cells)}{rest.partition(END)[2]}", encoding="utf-8")


def table(cells: Cells) -> Table:
    """On the terminal."""
    types = [name for name in TRIED if any(key[0] == name for key in cells)]
    shown = Table("form", *types)
    messages: list[str] = []
    for form in FORMS:
        said = {name: cells.get((name, form), "") for name in types}
        shown.add_row(form, *(_mark(told((name, form), said[name]), messages) for name in types))
    return shown


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.form_table")
    parser.add_argument("--only", nargs="+", choices=TRIED, default=TRIED, metavar="MODEL_TYPE")
    parser.add_argument("--afresh", action="store_true", help="forget what is done")
    parser.add_argument("--keep", action="store_true", help=f"write {PAGE} and {RESULT}")
    parser.add_argument("--row", choices=TRIED, help=argparse.SUPPRESS)
    parser.add_argument("--forms", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        measure_row(given.row, given.forms, given.place)
        return 0
    if given.afresh:
        DONE.unlink(missing_ok=True)
    console = Console()
    cells = measured(given.only, console)
    console.print(table(cells))
    if given.keep:
        keep_entries(entries(cells), RESULT)  # first: it notes whether the tree is as committed
        write_page(cells)
    return 0 if all(map(is_decided, cells.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
