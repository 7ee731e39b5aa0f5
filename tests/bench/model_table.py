"""model_table: which architectures pass through which steps of the product, and why not.

    python -m tests.bench.model_table [--only MODEL_TYPE ...] [--keep]

A stack of its own gets a tiny random model of each architecture (`tiny_architectures`), and does
with it what a user would: import, LoRA, all weights, the same paused and resumed, the adapter's
default build (merged, 8-bit, checked against training), answers of each engine, a forced tool call.
A cell is `works`, or what the product said. `resume` works only if the bits are those of the run
that was not paused.

`hub.model_table.architectures`: rows of which every cell is decided: it works, or was refused with
a message of ours; a failure that the product does not explain is not. `hub.model_table.whole`: rows
that work in every cell. `--keep` writes both into deploy/bench/hub.json, and the table into
docs/reference/model-table.md.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_client import (
    ApiStatusError,
    JobFailedError,
    Modelmill,
    ModelmillError,
    WaitTimeoutError,
)
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.ports import free_port
from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.bench.figures import Entry
from tests.bench.kept_entries import keep_entries
from tests.bench.tiny_architectures import ARCHITECTURES, Architecture

RESULT, PAGE = Path("deploy/bench/hub.json"), Path("docs/reference/model-table.md")
LEAST = 20
"""Architectures in the table."""
CELLS = {
    "import": "import",
    "lora": "LoRA",
    "full": "all weights",
    "resume": "pause, resume",
    "int8": "merge, 8-bit",
    "adapter": "answers: adapter",
    "whole": "answers: all weights",
    "openvino": "answers: 8-bit",
    "tool": "tool call",
}
WORKS, AFTER = "works", "needs "
UNEXPLAINED = ("CHILD_DIED", "INTERNAL", "internal", "does not answer", "Traceback")
"""What stands in messages that say nothing of the model."""
"""What a cell says; `needs import` where an earlier cell failed."""
JOB_SECONDS, ANSWER_SECONDS, LISTED_SECONDS = 300.0, 180.0, 30.0
LOOK_SECONDS = 0.1
LONG = {"learning_rate": 0.001, "max_steps": 120, "batch_size": 4, "checkpoint_steps": 10}
SHORT = {"learning_rate": 0.001, "max_steps": 4, "batch_size": 4}
PAUSED_AT = 10
"""Steps of the long run, after which it is paused."""
ROWS = 96
TOOL = {
    "type": "function",
    "function": {
        "name": "classify",
        "parameters": {
            "type": "object",
            "properties": {"kind": {"enum": ["animal", "plant"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
    },
}


@dataclass
class Row:
    """One architecture, and what became of it."""

    architecture: Architecture
    cells: dict[str, str] = field(default_factory=dict)

    def decided(self) -> bool:
        """Whether each cell works, or has a message of ours."""
        return not any(mark in cell for cell in self.cells.values() for mark in UNEXPLAINED)

    def whole(self) -> bool:
        """Whether each cell works."""
        return all(self.cells[name] == WORKS for name in CELLS)


class NotSoError(Exception):
    """A step was done, and its result is not what it must be."""


class Trial:
    """Takes models through the steps, on a running stack."""

    def __init__(self, client: Modelmill, store: FolderStore, rows: Path) -> None:
        self._client = client
        self._store = store
        made = client.datasets.create(
            file_id=client.files.upload(rows)["id"],
            name="kinds",
            mapping={"user_template": "{word}: {gloss}", "answer_template": "{label}"},
        )
        client.jobs.wait(made["job_id"], timeout=JOB_SECONDS)
        self._dataset_id = made["id"]

    def go(self, row: Row, base: str) -> None:
        """Fill all cells behind the import."""
        lora = self._cell(row, "lora", lambda: self._trained(base, "lora", SHORT))
        full = self._cell(row, "full", lambda: self._trained(base, "full", LONG))
        self._cell(row, "resume", lambda: self._resumed(base, full or ""), needs=("full", full))
        built = self._cell(row, "int8", lambda: self._built(lora or ""), needs=("lora", lora))
        self._cell(row, "adapter", lambda: self._answer(lora or ""), needs=("lora", lora))
        self._cell(row, "whole", lambda: self._answer(full or ""), needs=("full", full))
        self._cell(row, "openvino", lambda: self._answer(built or ""), needs=("int8", built))
        self._cell(row, "tool", lambda: self._call(built or ""), needs=("int8", built))

    def _cell(
        self,
        row: Row,
        name: str,
        step: Callable[[], str],
        needs: tuple[str, str | None] = ("import", WORKS),
    ) -> str | None:
        """What the step made; None where it failed, or what it needs did."""
        before, made = needs
        if not made:
            row.cells[name] = f"{AFTER}{CELLS[before]}"
            return None
        try:
            made = step()
        except (ModelmillError, NotSoError) as error:
            row.cells[name] = said(error)
            return None
        row.cells[name] = WORKS
        return made

    def _order(self, base: str, method: str, hyper: Mapping[str, Any]) -> str:
        order = {
            "model": base,
            "training_file": self._dataset_id,
            "training_method": method,
            "evaluate": False,
            "seed": 1,
            "hyperparameters": hyper,
        }
        return str(self._client.request("POST", "/v1/fine_tuning/jobs", json=order)["id"])

    def _trained(self, base: str, method: str, hyper: Mapping[str, Any]) -> str:
        job_id = self._order(base, method, hyper)
        return self._version_of(job_id)

    def _version_of(self, job_id: str) -> str:
        job = self._client.jobs.wait(job_id, timeout=JOB_SECONDS)
        version_id = str((job["result"] or {})["version_id"])
        self._until_listed(version_id)
        return version_id

    def _until_listed(self, version_id: str) -> None:
        """A version is announced after its job's success."""
        ends = time.monotonic() + LISTED_SECONDS
        while version_id not in {str(it["id"]) for it in self._client.models.list()}:
            if time.monotonic() > ends:
                raise WaitTimeoutError(f"{version_id} was made and is not listed")
            time.sleep(LOOK_SECONDS)

    def _resumed(self, base: str, undisturbed: str) -> str:
        """Pause the same run, let it go on, and compare the weights."""
        job_id = self._order(base, "full", LONG)
        while not self._is_past(job_id, PAUSED_AT):
            time.sleep(LOOK_SECONDS)
        self._client.jobs.pause(job_id)
        while (status := self._client.jobs.retrieve(job_id)["status"]) in ("queued", "running"):
            time.sleep(LOOK_SECONDS)
        if status != "paused":
            raise NotSoError(f"the run was {status} before it could be paused")
        self._client.jobs.resume(job_id)
        version_id = self._version_of(job_id)
        if self._weights(version_id) != self._weights(undisturbed):
            raise NotSoError("the resumed run made other weights")
        return version_id

    def _is_past(self, job_id: str, step: int) -> bool:
        job = self._client.jobs.retrieve(job_id)
        if job["status"] in ("failed", "cancelled", "succeeded"):
            return True
        return (job["checkpoint_step"] or 0) >= step

    def _weights(self, version_id: str) -> dict[str, str]:
        digest = str(self._client.models.retrieve(version_id)["digest"])
        files = self._store.manifest(digest).files
        return {it.path: it.sha256 for it in files if it.path.endswith(".safetensors")}

    def _built(self, lora: str) -> str:
        """The build that was ordered by itself."""
        ends = time.monotonic() + LISTED_SECONDS
        while time.monotonic() < ends:
            for job in self._client.jobs.list(kind="optimize"):
                if job["spec"].get("source_version_id") == lora:
                    return self._version_of(job["id"])
            time.sleep(LOOK_SECONDS)
        raise NotSoError("no build was ordered")

    def _answer(self, version_id: str) -> str:
        return str(self._chat(version_id)["content"])

    def _call(self, version_id: str) -> str:
        function = {"type": "function", "function": {"name": "classify"}}
        message = self._chat(version_id, tools=[TOOL], tool_choice=function)
        try:
            kind = json.loads(message["tool_calls"][0]["function"]["arguments"])["kind"]
        except (LookupError, TypeError, ValueError):
            raise NotSoError(f"no call, but {message}") from None
        return str(kind)

    def _chat(self, version_id: str, **more: Any) -> dict[str, Any]:
        asked = {
            "model": version_id,
            "messages": [{"role": "user", "content": "thing 7: something that barks"}],
            "max_tokens": 32,
            "temperature": 0,
        }
        ends = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                answer = self._client.request("POST", "/v1/chat/completions", json=asked | more)
            except ApiStatusError as error:
                if error.retry_after is None or time.monotonic() > ends:
                    raise
                time.sleep(error.retry_after)
                continue
            return dict(answer["choices"][0]["message"])


def said(error: Exception) -> str:
    """What the product said, without ids."""
    if isinstance(error, JobFailedError):
        failure = error.job["error"] or {}
        code, message = str(failure.get("code")), str(failure.get("message"))
        return f"{code}: {message}"
    if isinstance(error, ApiStatusError):
        return f"{error.status} {error.code}: {error.error.get('message')}"
    return str(error)


def write_rows(file: Path) -> Path:
    """A learnable task of two kinds."""
    kinds = (("animal", "barks"), ("plant", "grows"))
    with file.open("w", encoding="utf-8") as rows:
        for number in range(ROWS):
            kind, does = kinds[number % 2]
            row = {"word": f"thing {number}", "gloss": f"something that {does}", "label": kind}
            rows.write(json.dumps(row) + "\n")
    return file


async def make_tiny(architecture: Architecture, folder: Path) -> None:
    """In a process of its own: torch stays out of this one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.tiny_architectures"),
        *(architecture.model_type, str(folder)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{architecture.model_type}: {errors.decode()[-2000:]}")


async def measured(wanted: Sequence[Architecture], console: Console) -> list[Row]:
    """All rows, as they are done."""
    rows = []
    with TemporaryDirectory(prefix="model-table-") as place:
        state, log = StateFolder(Path(place) / "state"), Path(place) / "log"
        with log.open("w", encoding="utf-8") as lines:
            options = StackOptions(http_port=free_port())
            say = lambda name, line: print(name, line, file=lines)  # noqa: E731
            async with running_stack(state, options, say) as up:
                with connect_locally(state, up.runtime.http_url) as client:
                    file = write_rows(Path(place) / "rows.jsonl")
                    store = FolderStore(state.artifacts)
                    trial = await asyncio.to_thread(Trial, client, store, file)
                    for architecture in wanted:
                        began = time.monotonic()
                        rows.append(await one_row(architecture, trial, state, Path(place)))
                        seconds = time.monotonic() - began
                        console.print(f"{architecture.model_type}, {seconds:.0f} s:")
                        console.print_json(data=rows[-1].cells)
    return rows


async def one_row(architecture: Architecture, trial: Trial, state: StateFolder, place: Path) -> Row:
    """Of one architecture."""
    row, name = Row(architecture), architecture.model_type.replace("_", "-")
    folder = place / name
    await make_tiny(architecture, folder)
    try:
        version = await bring_in(state, folder, name=name, tenant=DEFAULT_TENANT)
    except DomainError as error:
        own = str(error).replace(str(folder), "FOLDER")
        row.cells = {it: f"{AFTER}{CELLS['import']}" for it in CELLS} | {"import": own}
        return row
    row.cells["import"] = WORKS
    await asyncio.to_thread(trial.go, row, version.version_id)
    return row


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Of the whole table."""
    decided, whole = (sum(test(row) for row in rows) for test in (Row.decided, Row.whole))
    undecided = [row.architecture.model_type for row in rows if not row.decided()]
    note = f"of {len(rows)}; not decided: {', '.join(undecided) or 'none'}"
    return [
        Entry(
            "hub.model_table.architectures",
            decided,
            "architectures",
            "no rival",
            decided / len(rows),
            f">= {LEAST}, and all",
            decided == len(rows) >= LEAST,
            (decided / len(rows), decided / len(rows)),
            note,
        ),
        Entry(
            "hub.model_table.whole",
            whole,
            "architectures",
            "all of the table",
            whole / len(rows),
            "",
            None,
            (whole / len(rows), whole / len(rows)),
            f"of {len(rows)}, which work in every cell",
        ),
    ]


def page(rows: Sequence[Row], commit: str) -> str:
    """The table as a page of the documentation; messages stand below it."""
    lines = [
        "# Tested architectures",
        "",
        "Tiny random models of each architecture, taken through what a user would do with one.",
        f"Written by `make model-table`, at commit {commit[:8]}. A number points to what was said.",
        "",
        f"| architecture | {' | '.join(CELLS.values())} |",
        f"|---|{'---|' * len(CELLS)}",
    ]
    messages: list[str] = []
    for row in rows:
        shown = [_mark(row.cells[name], messages) for name in CELLS]
        lines.append(f"| {row.architecture.name} | {' | '.join(shown)} |")
    found = [f"{number}. `{message}`" for number, message in enumerate(messages, 1)]
    notes = ["", "✓ works; – needs a step that does not.", "", *found] if found else []
    return "\n".join([*lines, *notes, ""])


def _mark(cell: str, messages: list[str]) -> str:
    if cell == WORKS:
        return "✓"
    if cell.startswith(AFTER):
        return "–"
    message = " ".join(cell.replace("`", "'").split())
    if message not in messages:
        messages.append(message)
    return str(messages.index(message) + 1)


def table(rows: Sequence[Row]) -> Table:
    """On the terminal."""
    shown = Table("architecture", *CELLS.values())
    for row in rows:
        shown.add_row(row.architecture.name, *(row.cells.get(name, "") for name in CELLS))
    return shown


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.model_table")
    types = [each.model_type for each in ARCHITECTURES]
    parser.add_argument("--only", nargs="+", choices=types, default=types, metavar="MODEL_TYPE")
    parser.add_argument("--keep", action="store_true", help=f"write {PAGE} and {RESULT}")
    given = parser.parse_args()
    console = Console()
    wanted = [each for each in ARCHITECTURES if each.model_type in given.only]
    rows = asyncio.run(measured(wanted, console))
    console.print(table(rows))
    if given.keep:
        PAGE.write_text(page(rows, run_record.circumstances(())["commit"]), encoding="utf-8")
        keep_entries(entries(rows), RESULT)
    return 0 if all(row.decided() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
