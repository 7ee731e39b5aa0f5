"""`mill up`: NATS and the six services on this machine."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console
from rich.markup import escape

from modelmill_cli.interrupts import Interrupted, interruptible
from modelmill_cli.stack_options import (
    HOST,
    HOW_TO_INSTALL,
    SERVICES,
    StackOptions,
    missing_services,
)
from modelmill_cli.state_folder import StateFolder

COLOURS = {
    "nats": "white",
    "moderation": "magenta",
    "data_prep": "green",
    "trainer": "yellow",
    "optimizer_builder": "blue",
    "inference": "cyan",
    "gateway": "red",
}


HttpPort = Annotated[int, typer.Option("--http-port", "--port", help="Port of the HTTP API.")]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls", help="Use mutual TLS between services, with certificates that are made here."
    ),
]
Rolling = Annotated[
    bool,
    typer.Option(
        "--rolling",
        help="Replace the services of the running stack by this installation's, one by one.",
    ),
]


def up(
    context: typer.Context,
    http_port: HttpPort = 8080,
    grpc_port: Annotated[int, typer.Option(help="Port of the gRPC API; 0: a free one.")] = 0,
    metrics_port: Annotated[int, typer.Option(help="Gateway's /metrics; 0: a free one.")] = 0,
    nats_port: Annotated[int, typer.Option(help="Port of the broker; 0: a free one.")] = 0,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    tls: Tls = False,
    artifacts: Annotated[
        str, typer.Option(help="Folder or s3://bucket/prefix for artifacts; AWS_* say where it is.")
    ] = "",
    http_host: Annotated[
        str, typer.Option(help="Address of the HTTP API; beyond loopback a proxy must add TLS.")
    ] = HOST,
    rolling: Rolling = False,
) -> None:
    """Run NATS and the six services until Ctrl-C, on loopback, with new secrets."""
    if rolling:
        _refuse_other_options(context)
        asyncio.run(interruptible(_roll(context.obj), _say_that_it_goes_on))
        return
    options = StackOptions(
        http_port, grpc_port, metrics_port, nats_port, log_level, tls, artifacts, http_host
    )
    console = Console(highlight=False)
    was_ready = asyncio.Event()

    def say_stopping() -> None:
        console.print("stopping; what was accepted is kept, `mill up` goes on with it")

    try:
        asyncio.run(interruptible(_run(context.obj, options, console, was_ready), say_stopping))
    except Interrupted:
        # Ctrl-C is how it is meant to end, once it runs.
        if not was_ready.is_set():
            raise


def _say_that_it_goes_on() -> None:
    Console(highlight=False, soft_wrap=True).print(
        "not shown any more; the stack that runs goes on replacing its services, and up.log in its"
        " state folder says if one fails"
    )


def _refuse_other_options(context: typer.Context) -> None:
    """The stack that runs has its own."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [
        f"--{name.replace('_', '-')}"
        for name, source in sources.items()
        if name != "rolling" and source is not None and source.name == "COMMANDLINE"
    ]
    if given:
        raise InvalidInputError(
            f"--rolling keeps the options of the stack that runs. Leave out {', '.join(given)}"
        )


async def _roll(state: StateFolder) -> None:
    # What runs services takes as long to load as all the other commands.
    from modelmill_cli.orders_socket import give_order
    from modelmill_cli.rolling import rolling_order

    order = rolling_order(state, state.read_runtime(), SERVICES, sys.executable)
    console = Console(highlight=False, soft_wrap=True)
    async for message in give_order(state, order):
        if message.get("step") == "replaced":
            name = str(message["service"]).replace("_", "-")
            console.print(f"{name}: replaced", markup=False)
    console.print("all services are of this installation; the broker and `mill up` are as before")


async def _run(
    state: StateFolder, options: StackOptions, console: Console, ready: asyncio.Event
) -> None:
    from modelmill_cli.logged_stack import logged_stack

    log_file = state.path / "up.log"
    if missing := missing_services():
        without = ", ".join(missing)
        console.print(f"serving only, without {without}. {HOW_TO_INSTALL}", markup=False)
    console.print(f"starting on {state.path} ({log_file} has the logs) ...", soft_wrap=True)
    with console.status("waiting for the broker and the services") as waiting:
        async with logged_stack(state, options, log_file, line_printer(console)) as stack:
            waiting.stop()
            ready.set()
            console.print(
                f"ready: {stack.runtime.http_url}   (`mill token` makes a token, `mill chat` talks)"
            )
            await asyncio.Event().wait()  # it ends by Ctrl-C, or as the stack fails


def line_printer(console: Console) -> Callable[[str, str], None]:
    """Prints what is news of a process behind its name, JSON lines shortened for people."""
    from modelmill_cli.logged_stack import is_news, readable

    def show(name: str, line: str) -> None:
        if not is_news(line):
            return
        colour = COLOURS.get(name, "white")
        console.print(f"[{colour}]{name:>17}[/{colour}] {escape(readable(line))}")

    return show
