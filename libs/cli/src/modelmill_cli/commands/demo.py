"""`mill demo`: the whole loop on this machine, from raw rows to a guarded answer."""

import time

import typer
from modelmill_service_kit.errors import PreconditionError
from rich.console import Console

from modelmill_cli.commands.up import HttpPort
from modelmill_cli.demo.base import DEMO_FOLDER
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.stack_options import StackOptions, require_all_services
from modelmill_cli.state_folder import StateFolder, owner_only


def demo(context: typer.Context, http_port: HttpPort = 8080, as_json: AsJson = False) -> None:
    """Run the demo's recipe: raw rows to a dataset, a fine-tuned model, an int8 build, an answer.

    What was done before is kept, as by `mill run`.
    """
    state: StateFolder = context.obj
    console = Console(stderr=as_json, highlight=False)
    if not DEMO_FOLDER.exists():
        raise PreconditionError(f"{DEMO_FOLDER} is missing. Run this in a clone of Modelmill")
    require_all_services()
    started = time.monotonic()
    # Only the demo needs the SDK and the plots, and they take a second to load.
    from modelmill_cli.demo.journey import Journey
    from modelmill_cli.demo.recipe import demo_recipe
    from modelmill_cli.demo.report import DemoReport, MemoryWatch
    from modelmill_cli.recipe_call import in_own_stack

    with owner_only(), MemoryWatch() as memory:
        findings = in_own_stack(
            state,
            StackOptions(http_port=http_port),
            console,
            Journey(state, demo_recipe(), console),
            stopping="stopping; `mill demo` goes on from here",
        )
    seconds = time.monotonic() - started
    report = DemoReport(findings, state.spans, memory.peak_bytes, seconds)
    file = state.path / "demo.json"
    with owner_only():
        report.save(file)
    if as_json:
        print_json(report.as_document())
        return
    report.show(console)
    console.print(f"the figures are in {file}; `mill up` starts it again for `mill chat`")
