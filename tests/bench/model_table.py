"""model_table: which architectures pass through which steps of the product, and why not.

    python -m tests.bench.model_table [--only MODEL_TYPE ...] [--keep] [--again]

A stack of its own gets a tiny random model of each architecture (`tiny_architectures`), and does
with it what a user would: import, LoRA, all weights, the same paused and resumed, the adapter's
default build (merged, 8-bit, checked against training), answers of each engine, a forced tool call.
A cell is `works`, or what the product said. `resume` works only if the bits are those of the run
that was not paused.

`hub.model_table.architectures`: rows of which every cell is decided: it works, or was refused with
a message of ours; a failure that the product does not explain is not. `hub.model_table.whole`: rows
that work in every cell. `--keep` writes both into deploy/bench/hub.json, and the table into
docs/reference/model-table.md.

Rows of a commit are kept in build/bench, so that an interrupted run goes on; `--again` makes them
anew.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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

from tests import run_record
from tests.bench.harness import WORK_FOLDER
from tests.bench.kept_entries import keep_entries
from tests.bench.model_table_rows import AFTER, CELLS, WORKS, Row, entries, page, table
from tests.bench.tiny_architectures import ARCHITECTURES, Architecture

RESULT, PAGE = Path("deploy/bench/hub.json"), Path("docs/reference/model-table.md")
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


class KeptRows:
    """The rows that are done, in a folder of the commit; a changed tree keeps none."""

    def __init__(self, *, again: bool) -> None:
        now = run_record.circumstances(())
        of = "changed" if now["dirty"] else now["commit"]
        self._folder = WORK_FOLDER / "model-table" / of
        if again or now["dirty"]:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, architecture: Architecture) -> Row | None:
        """The row; None where it has not been made."""
        with suppress(FileNotFoundError):
            return Row(architecture, json.loads(self._file(architecture).read_text()))
        return None

    def add(self, row: Row) -> None:
        """Keep a row."""
        fresh = self._file(row.architecture).with_suffix(".new")
        fresh.write_text(json.dumps(row.cells))
        fresh.rename(self._file(row.architecture))

    def _file(self, architecture: Architecture) -> Path:
        return self._folder / f"{architecture.model_type}.json"


async def measure(wanted: Sequence[Architecture], kept: KeptRows, console: Console) -> None:
    """Make the rows, one after the other."""
    started = time.monotonic()
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
                    for number, architecture in enumerate(wanted, 1):
                        row = await one_row(architecture, trial, state, Path(place))
                        kept.add(row)
                        pace = (time.monotonic() - started) / number / 60
                        left = f"about {(len(wanted) - number) * pace:.0f} minutes are left"
                        console.print(f"{architecture.model_type}; {left}:")
                        console.print_json(data=row.cells)


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


def main() -> int:
    """Measure, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.model_table")
    types = [each.model_type for each in ARCHITECTURES]
    parser.add_argument("--only", nargs="+", choices=types, default=types, metavar="MODEL_TYPE")
    parser.add_argument("--keep", action="store_true", help=f"write {PAGE} and {RESULT}")
    parser.add_argument("--again", action="store_true", help="make rows that are kept anew")
    given = parser.parse_args()
    console, kept = Console(), KeptRows(again=given.again)
    wanted = [each for each in ARCHITECTURES if each.model_type in given.only]
    if missing := [each for each in wanted if kept.get(each) is None]:
        asyncio.run(measure(missing, kept, console))
    rows = [row for each in wanted if (row := kept.get(each))]
    console.print(table(rows))
    if given.keep:
        keep_entries(entries(rows), RESULT)  # first: it notes whether the tree is as committed
        PAGE.write_text(page(rows, run_record.circumstances(())["commit"]), encoding="utf-8")
    return 0 if all(row.decided() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
