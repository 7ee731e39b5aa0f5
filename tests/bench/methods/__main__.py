"""`python -m tests.bench.methods RECIPE.yaml --keep FOLDER`: ways to train, measured as served.

How right each is beside its base and the others, with intervals, and at what cost. The same command
goes on where it was cut off. It starts Modelmill, or uses the one that runs.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modelmill_cli.demo.base import DEMO_FOLDER, bring_base
from modelmill_cli.gateway import connect, connect_locally
from modelmill_cli.interrupts import Interrupted, interruptible
from modelmill_cli.job_watch import watch_job
from modelmill_cli.job_words import Job
from modelmill_cli.logged_stack import logged_stack
from modelmill_cli.stack import StackOptions
from modelmill_cli.state_folder import DEFAULT_STATE_FOLDER, StateFolder
from modelmill_client import Modelmill, ModelmillError
from modelmill_service_kit.errors import DomainError, InvalidInputError
from rich.console import Console

from tests.bench.methods.jobs import Jobs
from tests.bench.methods.matrix import TaskResult, measure
from tests.bench.methods.recipe import Recipe, read_recipe
from tests.bench.methods.report import print_report, task_table, write_report
from tests.bench.methods.steps import Steps


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write tables, figures and a drawing; 2 when it could not begin or end."""
    asked = _arguments(arguments)
    console = Console(highlight=False)
    try:
        recipe = read_recipe(asked.recipe)
        if missing := recipe.missing_files(asked.data):
            raise InvalidInputError(missing)
        measured = asyncio.run(
            interruptible(
                _run(asked, recipe, console),
                lambda: console.print("stopping; the same command goes on from here"),
            )
        )
    except Interrupted:
        return 130
    except (DomainError, ModelmillError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print_report(console, measured)
    for file in write_report(asked.results or asked.keep, recipe, measured):
        console.print(f"{file}", soft_wrap=True)
    return 0


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.methods")
    parser.add_argument("recipe", type=Path, help="YAML; deploy/bench/methods.yaml")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is done")
    parser.add_argument(
        "--data", type=Path, default=DEMO_FOLDER, help="folder with the files of rows"
    )
    parser.add_argument("--results", type=Path, help="folder for the report; else as --keep")
    parser.add_argument("--running", action="store_true", help="use the Modelmill that runs")
    parser.add_argument("--http-port", type=int, default=8080, help="of the one that is started")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE_FOLDER, help="of Modelmill")
    return parser.parse_args(given)


def _overrides(recipe: Recipe) -> dict[str, str]:
    """Builds would be ordered of all that is trained: they wait, and take no core from a run."""
    settings = {"OPTIMIZER_BUILDER_ROLE": "serve"}
    if recipe.price is not None:
        settings["TRAINER_PRICE_PER_HOUR"] = str(recipe.price.per_core_hour)
        settings["TRAINER_CURRENCY"] = recipe.price.currency
    return settings


async def _run(asked: argparse.Namespace, recipe: Recipe, console: Console) -> list[TaskResult]:
    state = StateFolder(asked.state.absolute())
    options = None
    if not asked.running:
        options = StackOptions(http_port=asked.http_port, overrides=_overrides(recipe))
    asked.keep.mkdir(parents=True, exist_ok=True)
    async with _connection(state, options, asked.keep / "stack.log", console) as client:
        if recipe.wants_demo_base:
            await asyncio.to_thread(bring_base, state)
        try:
            return await asyncio.to_thread(_measure, asked, recipe, client, console)
        finally:
            client.close()  # a thread that is still at it ends at its next call


@asynccontextmanager
async def _connection(
    state: StateFolder, options: StackOptions | None, log_file: Path, console: Console
) -> AsyncIterator[Modelmill]:
    """To what runs already, or to a stack for as long as the block goes on."""
    if options is None:
        yield connect(state)
        return
    console.print(f"starting NATS and six services ({log_file} has their logs) ...")
    async with logged_stack(state, options, log_file) as stack:
        yield connect_locally(state, stack.runtime.http_url)


def _measure(
    asked: argparse.Namespace, recipe: Recipe, client: Modelmill, console: Console
) -> list[TaskResult]:
    def watch(job_id: str, title: str) -> Job:
        return watch_job(client, job_id, title, console)

    steps = Steps(recipe, client, Jobs(client, watch), data=asked.data, keep=asked.keep)
    results = []
    for result in measure(recipe, steps):
        console.print(task_table(result))
        results.append(result)
    return results


if __name__ == "__main__":
    sys.exit(main())
