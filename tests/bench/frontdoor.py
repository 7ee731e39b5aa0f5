"""frontdoor.*: from wheels to an own model that answers, as a new user would go.

    make dist
    python -m tests.bench.frontdoor --base FOLDER [--python python3.13] [--only PART ...] [--keep]

Everything happens in an empty folder outside the clone, with nothing of the clone but `dist/` and
the base model, a Hugging Face folder that the user has (`deploy/demo/base_model.py` makes one).
Rows: 360 support tickets, drawn from templates, half of them English and half Chinese, to one of
three labels of their language; what is asked later is in no row.

`frontdoor.commands`: commands typed until the model has answered in both languages; creating the
environment, installing and waiting count. `frontdoor.minutes`: from the first command to the last
answer, with the time that the package index takes. `frontdoor.answers`: share of 12 held-out
tickets whose answer is the label, by `mill chat`.
`frontdoor.second_run`: seconds of `mill run` again without a change, while `mill up` runs;
`frontdoor.second_run_jobs`: jobs that it created.
`frontdoor.export.FORM`: share of the same tickets that an exported version answers greedily as the
gateway does, in a process that cannot import Modelmill: the base by transformers, the adapter by
PEFT, its build by OpenVINO GenAI. In float32, as the gateway computes on a processor.
`frontdoor.size.*`: MB on disk of an environment with what the name says, by the sizes of its files.
`frontdoor.estimate.{fresh,earlier}.*`: the worst estimate of `mill run --plan` beside what the job
took, in times too much or too little, over all recipes: on an installation that has done nothing,
and with one row more on the same one. Needs an idle machine.
`frontdoor.schema.mutations`: of the wrong recipes of libs/recipes/tests, those that are refused
with the line of the fault. `frontdoor.schema.examples`: of the examples in deploy, those accepted.
`frontdoor.rival.*`: what `rival_llama_factory` counts.
`frontdoor.kills.same`: of the runs that `kill -9` or Ctrl-C strikes in some step, those that end,
run again, with the digests of an undisturbed one.
`--only` measures parts: journey, sizes, estimates, schema, rival, kills. `schema` and `rival` take
no time, `kills` takes 15 minutes.
`--keep` writes deploy/bench/frontdoor.json, in place of the entries of the same ids there. Each
entry has the commit and date of its own run.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.bench.figures import Entry, all_of
from tests.bench.frontdoor_estimates import estimates
from tests.bench.frontdoor_exports import Exported, exported
from tests.bench.frontdoor_journey import (
    DIST,
    ROWS,
    RUN,
    TRAIN,
    UP,
    Journey,
    install,
    setup,
    tickets,
    write_tickets,
)
from tests.bench.kept_entries import keep_entries
from tests.bench.report import show
from tests.bench.rival_llama_factory import rival_entries

RESULT = Path("deploy/bench/frontdoor.json")
MOST_COMMANDS, MOST_MINUTES, MOST_SECOND_SECONDS = 8, 12.0, 5.0
ASKED = 12
PARTS = ("journey", "sizes", "estimates", "schema", "rival", "kills")
INSTALLED = ("journey", "sizes", "estimates")
"""Parts that install what `make dist` built."""
TESTS = "libs/recipes/tests"
COUNTED: Mapping[str, Sequence[tuple[str, str, Sequence[str], int]]] = {
    "schema": [
        (
            "schema.mutations",
            "recipes",
            [
                f"{TESTS}/test_recipe.py::test_{name}"
                for name in (
                    "a_misspelt_field_is_refused_with_its_line_and_the_one_that_is_meant",
                    "a_wrong_value_is_refused_with_its_line_and_field",
                )
            ],
            50,
        ),
        (
            "schema.examples",
            "recipes",
            [f"{TESTS}/test_recipe_schema.py::test_the_schema_accepts_every_example"],
            2,
        ),
    ],
    "kills": [("kills.same", "runs", ["tests/e2e/test_recipe_kills.py"], 20)],
}
"""Of a part, tests whose cases are counted, what a case is, and how many there must be."""
SIZES = {"serve": "modelmill", "train": TRAIN, "client": "modelmill-client"}


@dataclass(frozen=True)
class Found:
    """What the journey measured."""

    minutes: float
    commands: Sequence[str]
    right: int
    second_seconds: float
    second_jobs: int
    exports: Sequence[Exported]


def go(folder: Path, base: Path, python: str) -> Found:
    """The whole journey, in an empty folder."""
    every = tickets()
    write_tickets(folder, every[:ROWS])
    # An English one first, then a Chinese one.
    held_out = every[ROWS : ROWS + ASKED]
    first = [next(it for it in held_out if it[0].isascii() is flag) for flag in (True, False)]
    asked = [*first, *(it for it in held_out if it not in first)]
    journey, began = Journey(folder), time.monotonic()
    places = {str(DIST.absolute()): "dist", str(base): "BASE", python: "python3"}
    for command in [*setup(base, python), RUN]:
        journey.type(command)
    with journey.stack() as address:
        answers = [journey.type(_question(text)) for text, _ in asked[:2]]
        minutes = (time.monotonic() - began) / 60
        typed = [_without(places, command) for command in journey.typed]
        answers += [journey.run(_question(text)) for text, _ in asked[2:]]
        before, began = _jobs(journey, address), time.monotonic()
        journey.run(RUN)
        seconds = time.monotonic() - began
        created = _jobs(journey, address) - before
        exports = exported(journey, address, [text for text, _ in asked])
    right = sum(label == answer.strip() for (_, label), answer in zip(asked, answers, strict=True))
    return Found(minutes, typed, right, seconds, created, exports)


def _without(places: Mapping[str, str], command: str) -> str:
    """A command as anybody would type it: without where things lie on this machine."""
    for place, name in places.items():
        command = command.replace(place, name)
    return command


def _question(text: str) -> str:
    return f"mill chat --model tickets --max-tokens 8 '{text}'"


def _jobs(journey: Journey, address: str) -> int:
    token = journey.run("mill token").strip()
    request = urllib.request.Request(
        f"{address}/v1/jobs?limit=100", headers={"authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return len(json.load(answer)["data"])


def counted_entries(part: str) -> list[Entry]:
    """Cases that pass, of the tests of a part."""
    lines = []
    for name, unit, tests, least in COUNTED[part]:
        with TemporaryDirectory() as place:
            report = Path(place) / "tests.xml"
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
            subprocess.run([*command, f"--junitxml={report}"], capture_output=True, check=False)
            [suite] = ElementTree.parse(report).getroot()
        whole = int(suite.attrib["tests"])
        passed = whole - sum(int(suite.attrib[it]) for it in ("failures", "errors", "skipped"))
        note = ", ".join(tests)
        lines.append(all_of(f"frontdoor.{name}", passed, whole, unit, least=least, note=note))
    return lines


def size_of(what: str, python: str) -> float:
    """MB of an environment with a distribution and what it needs, beyond an empty one."""
    with TemporaryDirectory() as place:
        journey = Journey(Path(place))
        journey.run(f"{python} -m venv venv")
        empty = _bytes(Path(place))
        journey.run(install(what))
        return (_bytes(Path(place)) - empty) / 1e6


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def entries(found: Found) -> list[Entry]:
    """Of the journey."""
    commands = len(found.commands)
    return [
        _entry("commands", commands, "commands", MOST_COMMANDS, "; ".join(found.commands)),
        _entry("minutes", found.minutes, "min", MOST_MINUTES, "the index's time too"),
        _entry("second_run", found.second_seconds, "s", MOST_SECOND_SECONDS, "nothing changed"),
        _entry("second_run_jobs", found.second_jobs, "jobs", 0, "created by the second run"),
        Entry(
            "frontdoor.answers",
            found.right / ASKED,
            "share",
            "no rival",
            1.0,
            "",
            None,
            (found.right / ASKED, found.right / ASKED),
            f"{found.right} of {ASKED} held-out tickets, English and Chinese",
        ),
        *(export_entry(each) for each in found.exports),
    ]


def export_entry(found: Exported) -> Entry:
    """Of one form."""
    share = found.equal / found.asked
    return Entry(
        f"frontdoor.export.{found.form}",
        share,
        "share",
        "the gateway's answers",
        share,
        ">= 1 share",
        found.equal == found.asked,
        (share, share),
        f"{found.equal} of {found.asked} greedy answers equal, without Modelmill; loaded without a"
        f" dtype {found.equal_as_stored}",
    )


def size_entries(sizes: Mapping[str, float]) -> list[Entry]:
    """Of environments, in MB."""
    return [_entry(f"size.{name}", mb, "MB", None, SIZES[name]) for name, mb in sizes.items()]


def _entry(name: str, value: float, unit: str, most: float | None, note: str) -> Entry:
    return Entry(
        f"frontdoor.{name}",
        value,
        unit,
        "no rival",
        1.0,
        "" if most is None else f"<= {most:g} {unit}",
        None if most is None else value <= most,
        (value, value),
        f"{note}; one run, so its interval is a point",
    )


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.frontdoor")
    parser.add_argument("--base", type=Path, help="Hugging Face folder, of what runs models")
    parser.add_argument("--python", default="python3", help="interpreter of the environments")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of it")
    given = parser.parse_args()
    if {*given.only} & {*INSTALLED} and not DIST.is_dir():
        sys.exit("there is no dist/: run `make dist` first")
    if {*given.only} & {"journey", "estimates"} and not given.base:
        sys.exit("give --base a Hugging Face folder")
    lines = [line for part in given.only for line in measured(part, given.base, given.python)]
    show(lines, Console())
    if given.keep:
        keep_entries(lines, RESULT)
    return 0 if all(line.met is not False for line in lines) else 1


def measured(part: str, base: Path | None, python: str) -> list[Entry]:
    """The entries of a part."""
    if part in COUNTED:
        return counted_entries(part)
    if part == "rival":
        typed = [*setup(Path("BASE"), python), RUN, UP, _question("...")]
        places = {str(DIST.absolute()): "dist"}
        return rival_entries([_without(places, command) for command in typed])
    if part == "sizes":
        return size_entries({name: size_of(what, python) for name, what in SIZES.items()})
    assert base is not None
    with TemporaryDirectory(prefix="frontdoor-") as place:
        work = go if part == "journey" else estimates
        found = work(Path(place), base.absolute(), python)
    return entries(found) if isinstance(found, Found) else found


if __name__ == "__main__":
    sys.exit(main())
