"""`mill state`: what the streams hold, checked, taken away, brought back and upgraded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import PreconditionError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modelmill_cli.interrupts import run_interruptible
from modelmill_cli.keys import ALL_SCOPES, LOCAL_LIFE, LocalKeys
from modelmill_cli.output import AsJson, print_done, print_json
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import escaped

if TYPE_CHECKING:
    from modelmill_cli.state_check import Comparison
    from modelmill_cli.upgrading.upgrade_state import UpgradeStep

app = typer.Typer(no_args_is_help=True, help="Verify, export, import and upgrade the streams.")

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]
Count = Callable[[int, int], None]


@app.command()
def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Verify the streams against the snapshot and the gateway; exit status 1 if they differ."""
    compared = run_interruptible(_compare(context.obj))
    console = Console(highlight=False, soft_wrap=True)
    for each in compared:
        said = f"differs: {each.difference}" if each.difference else "equal"
        if as_json:
            print_json(asdict(each), indent=None)
            continue
        console.print(f"{each.name}: {each.count:,}, {said}", markup=False)
    if any(each.difference for each in compared):
        raise typer.Exit(1)


@app.command("export")
def export(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Export all streams but progress to a file; the artifact store is not included."""
    with _progress("exporting") as count:
        done = run_interruptible(_export(context.obj, file, count))
    words = f"{done:,} messages in {file}; copy {context.obj.artifacts} beside it"
    print_done({"messages": done, "path": str(file)}, words, as_json=as_json)


@app.command("import")
def import_(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Import an export into an unused state folder; then run `mill up`."""
    if not file.is_file():
        raise PreconditionError(f"there is no file {file}")
    with _progress("importing") as count:
        done = run_interruptible(_import(context.obj, file, count))
    words = f"{done:,} messages imported; `mill up`, and then `mill state verify`"
    print_done({"messages": done, "path": str(file)}, words, as_json=as_json)


@app.command()
def upgrade(
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Show it and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Upgrade a state folder of an older version, on which nothing runs.

    Back it up before, with `mill backup`. After Ctrl-C or a crash the same command goes on.
    """
    from modelmill_cli.upgrading.upgrade_state import plan_upgrade, upgrade_state

    console = Console(highlight=False, soft_wrap=True)

    def show(step: "UpgradeStep") -> None:
        if not as_json:
            lines = (f"layout {step.to}: {step.about}", *(f"  {each}" for each in step.changes))
            console.print("\n".join(map(escaped, lines)), markup=False)

    if plan:
        report = run_interruptible(plan_upgrade(context.obj))
        for step in report.steps:
            show(step)
    else:
        report = run_interruptible(upgrade_state(context.obj, show))
    if not report.steps:
        words = f"{report.path} has layout {report.to} already; nothing is to be done"
    elif plan:
        words = f"nothing was changed; `mill state upgrade` makes layout {report.to} of it"
    else:
        words = f"{report.path} has layout {report.to}; run `mill up`"
    print_done(asdict(report) | {"is_plan": plan}, words, as_json=as_json)


async def _compare(state: StateFolder) -> list["Comparison"]:
    # The client of the bus takes long to load, and few commands talk to the bus.
    from modelmill_bus.bus import Bus

    from modelmill_cli.state_check import compare_gateway, compare_snapshot

    runtime, keys = state.read_runtime(), LocalKeys(state.keys)

    def ask(tenant: str) -> Modelmill:
        of_tenant = partial(keys.issue, tenant=tenant, scopes=ALL_SCOPES, life=LOCAL_LIFE)
        return Modelmill(runtime.http_url, partial(of_tenant, subject="mill-state"))

    async with Bus.connect(runtime.nats_url, runtime.identity("cli"), name="cli") as bus:
        return [await compare_snapshot(bus), *await compare_gateway(bus, ask)]


async def _export(state: StateFolder, file: Path, count: Count) -> int:
    from modelmill_bus.archive import export_streams
    from modelmill_bus.link import open_link

    runtime = state.read_runtime()
    async with open_link(runtime.nats_url, runtime.identity("cli"), name="cli") as link:
        return await export_streams(link, file, count)


async def _import(state: StateFolder, file: Path, count: Count) -> int:
    from modelmill_bus.archive import import_streams
    from modelmill_bus.link import open_link

    from modelmill_cli.private_broker import private_broker

    with state.locked():
        async with (
            private_broker(state) as (url, password),
            open_link(url, password, name="cli") as link,
        ):
            return await import_streams(link, file, count)


@contextmanager
def _progress(what: str) -> Iterator[Count]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
