"""`mill bench`: measurements by hand, which go on where they were cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console

from modelmill_cli.commands.models import bring_in
from modelmill_cli.commands.up import HttpPort
from modelmill_cli.demo import recipe as demo
from modelmill_cli.demo.base_model import prepare_base
from modelmill_cli.gateway_client import DEFAULT_TENANT, Connection, GatewayClient, local_token
from modelmill_cli.interrupts import interruptible
from modelmill_cli.job_watch import watch_job
from modelmill_cli.logged_stack import logged_stack
from modelmill_cli.stack_options import StackOptions
from modelmill_cli.state_folder import StateFolder

if TYPE_CHECKING:
    from modelmill_cli.bench.matrix import TaskResult
    from modelmill_cli.bench.recipe import Recipe

TOKEN_LIFE = timedelta(days=2)
"""A matrix takes hours."""

app = typer.Typer(
    no_args_is_help=True, help="Run benchmarks that resume where they were interrupted."
)


@app.callback()
def bench() -> None:
    """Without this the one command would have no name."""


@app.command()
def methods(
    context: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", exists=True, dir_okay=False, help="YAML file.")
    ],
    keep: Annotated[Path, typer.Option(help="Folder for completed steps.")],
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder with the row files.")
    ] = demo.DEMO_FOLDER,
    results: Annotated[
        Path | None, typer.Option(help="Folder for tables, metrics and chart; defaults to --keep.")
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Use the running instance instead of starting one.")
    ] = False,
    http_port: HttpPort = 8080,
) -> None:
    """Compare training methods with their base model: accuracy with intervals, and cost."""
    # YAML, numpy and the plots load for this command alone.
    from modelmill_cli.bench.recipe import read_recipe
    from modelmill_cli.bench.report import print_report, write_report

    wanted = read_recipe(recipe)
    if missing := wanted.missing_files(data):
        raise InvalidInputError(missing)
    console = Console(highlight=False)
    options = StackOptions(http_port=http_port, overrides=_overrides(wanted))
    run = _run(context.obj, None if running else options, wanted, (data, keep), console)

    def say_stopping() -> None:
        console.print("stopping; the same command goes on from here")

    measured = asyncio.run(interruptible(run, say_stopping))
    print_report(console, measured)
    for file in write_report(results or keep, wanted, measured):
        console.print(f"{file}", soft_wrap=True)


def _overrides(recipe: "Recipe") -> dict[str, str]:
    """Builds would be ordered of all that is trained: they wait, and take no core from a run."""
    settings = {"OPTIMIZER_BUILDER_ROLE": "serve"}
    if recipe.price is not None:
        settings["TRAINER_PRICE_PER_HOUR"] = str(recipe.price.per_core_hour)
        settings["TRAINER_CURRENCY"] = recipe.price.currency
    return settings


async def _run(
    state: StateFolder,
    options: StackOptions | None,
    recipe: "Recipe",
    folders: tuple[Path, Path],
    console: Console,
) -> "list[TaskResult]":
    keep = folders[1]
    keep.mkdir(parents=True, exist_ok=True)
    async with _connection(state, options, keep / "stack.log", console) as connection:
        if recipe.wants_demo_base:
            await _bring_demo_base(state)
        client = GatewayClient(connection)
        try:
            return await asyncio.to_thread(_measure, recipe, client, folders, console)
        finally:
            client.close()  # a thread that is still at it ends at its next call


@asynccontextmanager
async def _connection(
    state: StateFolder, options: StackOptions | None, log_file: Path, console: Console
) -> AsyncIterator[Connection]:
    """To what runs already, or to a stack for as long as the block goes on."""
    if options is None:
        yield Connection.find(state, life=TOKEN_LIFE)
        return
    console.print(f"starting NATS and six services ({log_file} has their logs) ...")
    async with logged_stack(state, options, log_file) as stack:
        yield Connection(stack.runtime.http_url, local_token(state, life=TOKEN_LIFE))


async def _bring_demo_base(state: StateFolder) -> None:
    folder = state.path / "base-model"
    await prepare_base(demo.DEMO_FOLDER, folder)
    await bring_in(state, folder, name=demo.BASE_NAME, tenant=DEFAULT_TENANT)


def _measure(
    recipe: "Recipe", client: GatewayClient, folders: tuple[Path, Path], console: Console
) -> "list[TaskResult]":
    from modelmill_cli.bench.jobs import Jobs
    from modelmill_cli.bench.matrix import measure
    from modelmill_cli.bench.report import task_table
    from modelmill_cli.bench.steps import Steps

    def watch(job_id: str, title: str) -> dict[str, object]:
        return watch_job(client, job_id, title, console)

    data, keep = folders
    jobs = Jobs(client, watch)
    results = []
    for result in measure(recipe, Steps(recipe, client, jobs, data=data, keep=keep)):
        console.print(task_table(result))
        results.append(result)
    return results
