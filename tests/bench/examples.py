"""examples.*: each example in full on SmolLM2-135M-Instruct, as `mill run` runs it.

    make examples-keep                                   all that no expected.json has yet
    python -m tests.bench.examples [--only NAME ...] [--again] [--keep]

`examples.NAME.MEASURE`: what the example's own evaluation measures first, of the served model,
beside the model that it is compared to, on the same rows; the ratio's interval is that of the value
over the other's value. `examples.safety-classifier.caught` and `.false_alarms` are of rows that are
no part of its training (`examples/safety-classifier/measure.py`).

An example whose recipe and rows have been measured is left out, unless --again is given. An
interrupted run goes on with the example, and in it with the job, in which it ended: everything is
kept in build/examples until --again. `--keep` writes each example's expected.json, its line in
examples/README.md and its entries in deploy/bench/hub.json as soon as it has ended.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import getloadavg
from pathlib import Path
from threading import Event
from typing import Any

from modelmill_cli.demo.base import BASE_NAME, bring_base
from modelmill_cli.errors import DemoError
from modelmill_cli.interrupts import Interrupted
from modelmill_cli.orders import wait_until_listed
from modelmill_cli.recipe_call import RecipeCall, in_own_stack
from modelmill_cli.stack import StackOptions
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_client import Modelmill, ModelmillError
from modelmill_service_kit.errors import DomainError
from rich.console import Console

from tests import run_record
from tests.bench.figures import Entry
from tests.bench.kept_entries import keep_entries
from tests.bench.report import show
from tests.examples.example import Document, Example, all_examples, with_teachers
from tests.examples.result import (
    figures_of,
    is_better,
    work_seconds,
    write_expected,
    write_table,
)

RESULT = Path("deploy/bench/hub.json")
STATE = Path("build/examples")
SAFETY = "safety-classifier"
USUAL_SECONDS = 240.0
"""Of an example, until one has ended."""
LEAST_OTHER = 1e-3
"""What a ratio is over where the other model has nothing right."""


@dataclass
class FullRuns:
    """Runs examples on a running stack, one after the other."""

    state: StateFolder
    console: Console
    is_kept: bool
    wanted: Sequence[Example]
    """Those to be measured; teachers are run before, and measured where they are among these."""
    stopped: Event = field(default_factory=Event)
    """Set to begin no other example."""
    lines: list[Entry] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    run: Mapping[str, Any] = field(default_factory=lambda: run_record.circumstances(()))
    """Of the tree as it was before results were written into it."""

    def __call__(self, client: Modelmill) -> None:
        """Run all; one that fails is named, and the next one runs."""
        wait_until_listed(client, "", bring_base(self.state))
        runs = with_teachers(list(self.wanted))
        began = time.monotonic()
        for number, example in enumerate(runs):
            if self.stopped.is_set():
                return
            each = (time.monotonic() - began) / number if number else USUAL_SECONDS
            left = each * (len(runs) - number) / 60
            self.console.rule(f"{example.name}: {number + 1} of {len(runs)}, about {left:.0f} min")
            try:
                self._measure(client, example)
            except (DomainError, ModelmillError, DemoError, subprocess.CalledProcessError) as error:
                self.failed.append(f"{example.name}: {error}")
                self.console.print(f"failed: {error}")

    def _measure(self, client: Modelmill, example: Example) -> None:
        load = getloadavg()[0]
        ended = RecipeCall(self.state, example.recipe, self.console)(client)
        if example not in self.wanted:
            return
        if not ended.made.evaluation:
            raise DemoError(ended.gate or "nothing was measured")
        figures = figures_of(example, ended.made)
        figures += self._held_out(example) if example.name == SAFETY and not ended.gate else []
        date = run_record.circumstances(())["date"]
        kept = {name: self.run[name] for name in ("commit", "dirty", "machine")}
        measured = kept | {
            "date": date,
            "command": "make examples-keep",
            "inputs": example.digest(),
            "seconds": round(work_seconds(client, ended.made), 1),
            "load_average_before": load,
            "gate": ended.gate or None,
            "learned": ended.made.training.get("learned"),
        }
        document = {"base": BASE_NAME, "measured": measured, "figures": figures}
        lines = entries_of(example, document)
        self.lines += lines
        if self.is_kept:
            write_expected(example, document)
            write_table(all_examples())
            keep_entries(lines, RESULT)
        if ended.gate:
            self.failed.append(f"{example.name}: {ended.gate}")

    def _held_out(self, example: Example) -> list[Document]:
        """What the judge says of rows of other sources, as it is served."""
        out = self.state.path / "safety.json"
        command = [sys.executable, str(example.folder / "measure.py"), "--out", str(out)]
        subprocess.run([*command, "--state", str(self.state.path)], check=True)
        found = json.loads(out.read_text("utf-8"))["held_out"]["model"]
        how = f"measure.py: held-out rows, threshold {found['threshold']:g}; Wilson's 95 % interval"
        return [
            {
                "name": name,
                **{each: round(found[name][each], 4) for each in ("value", "low", "high")},
                "rows": found[name]["rows"],
                "how": how,
            }
            for name in ("caught", "false_alarms")
        ]


def entries_of(example: Example, document: Document) -> list[Entry]:
    """The first figure of an example's evaluation, and those that are compared to nobody."""
    first, *others = document["figures"]
    return [_entry(example, one) for one in (first, *others) if one is first or _is_alone(one)]


def _is_alone(figure: Document) -> bool:
    return "compared_to" not in figure


def _entry(example: Example, figure: Document) -> Entry:
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    entry_id = f"examples.{example.name}.{figure['name']}"
    said = f"{value:g} ({low:g} .. {high:g}) of {figure['rows']} rows"
    if _is_alone(figure):
        note = f"{said}; {figure['how']}"
        return Entry(entry_id, value, "", "no rival", 1.0, "", None, (low, high), note)
    other, difference = figure["compared_to"], figure["difference"]
    under = max(other["value"], LEAST_OTHER)
    has_goal = other["model"] == BASE_NAME
    note = "{}; {} {value:g} ({low:g} .. {high:g})".format(said, other["model"], **other)
    if under > other["value"]:
        note += f", so the ratio is over {under:g} and says nothing"
    return Entry(
        id=entry_id,
        value=value,
        unit="",
        against=other["model"],
        ratio=value / under,
        goal="better: interval of the difference" if has_goal else "",
        met=is_better(figure) if has_goal else None,
        ci95=(low / under, high / under),
        note="{}; difference {value:g} ({low:g} .. {high:g})".format(note, **difference),
    )


def is_measured(example: Example) -> bool:
    """Whether its recipe and rows, as they are now, have been measured."""
    measured = example.expected()["measured"]
    return measured is not None and measured["inputs"] == example.digest()


def main() -> int:
    """The command line; the exit status is 1 where an example failed or missed its gate."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.examples")
    by_name = {each.name: each for each in all_examples()}
    parser.add_argument("--only", nargs="+", choices=[*by_name], default=[*by_name])
    parser.add_argument("--again", action="store_true", help="also what was measured, all anew")
    parser.add_argument("--keep", action="store_true", help="write expected.json and hub.json")
    given = parser.parse_args()
    if given.again:
        shutil.rmtree(STATE, ignore_errors=True)
    wanted = [by_name[name] for name in given.only]
    wanted = [each for each in wanted if given.again or not is_measured(each)]
    console = Console(highlight=False)
    if not wanted:
        console.print("all of them have been measured; --again measures them anew")
        return 0
    runs = FullRuns(StateFolder(STATE), console, given.keep, wanted)
    with owner_only(), suppress(Interrupted):
        in_own_stack(
            *(runs.state, StackOptions(http_port=0), console, runs),
            stopping="stopping; the same command goes on from here",
            on_end=runs.stopped.set,
        )
    show(runs.lines, console)
    for line in runs.failed:
        console.print(f"failed: {line}")
    return 1 if runs.failed or len(runs.lines) < len(wanted) else 0


if __name__ == "__main__":
    sys.exit(main())
