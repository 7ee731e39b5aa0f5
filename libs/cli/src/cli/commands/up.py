"""`mill up`: NATS and the six services on this machine."""

import asyncio
import json
import signal
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli.process_supervisor import LogLine
from cli.stack import StackOptions, running_stack
from cli.state_folder import StateFolder

COLOURS = {
    "nats": "white",
    "moderation": "magenta",
    "data_prep": "green",
    "trainer": "yellow",
    "optimizer_builder": "blue",
    "inference": "cyan",
    "gateway": "red",
}


def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port of the HTTP API, on loopback.")] = 8080,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Run NATS and the six services until Ctrl-C; everything on loopback, behind new secrets."""
    asyncio.run(_run(context.obj, StackOptions(http_port=port, log_level=log_level)))


async def _run(state: StateFolder, options: StackOptions) -> None:
    console = Console(highlight=False)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    console.print(f"starting on {state.path} ...")
    starting = asyncio.current_task()
    assert starting is not None
    # A Ctrl-C while things are still starting unwinds what has started so far.
    early_stop = asyncio.create_task(_cancel_when(stopping, starting))
    try:
        async with running_stack(state, options, line_printer(console)) as stack:
            early_stop.cancel()
            console.print(
                f"ready: {stack.runtime.http_url}   (`mill token` makes a token, `mill chat` talks)"
            )
            await stopping.wait()
            console.print("stopping ...")
    except asyncio.CancelledError:
        console.print("stopped before everything was up")
    console.print("stopped")


async def _cancel_when(stopping: asyncio.Event, task: "asyncio.Task[None]") -> None:
    await stopping.wait()
    task.cancel()


def line_printer(console: Console) -> LogLine:
    """Prints a process's log line behind its name, JSON lines shortened for people."""

    def show(name: str, line: str) -> None:
        colour = COLOURS.get(name, "white")
        console.print(f"[{colour}]{name:>17}[/{colour}] {escape(readable(line))}")

    return show


def readable(line: str) -> str:
    """A JSON log line as level and message; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        record = json.loads(line)
    except ValueError:
        return line
    text = f"{record.get('level', '')} {record.get('message', '')}"
    exception = record.get("exception")
    return f"{text}\n{exception}" if exception else text
