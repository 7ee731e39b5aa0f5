"""`mill run` and `mill recipe`: from rows to a served model by one file."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_client import Modelmill, ModelmillError
from modelmill_recipes.propose import KINDS, is_kind
from modelmill_service_kit.errors import DomainError, InvalidInputError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean, did_you_mean_file
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.commands.models import bring_in
from modelmill_cli.errors import WorkFailedError
from modelmill_cli.gateway import DEFAULT_TENANT, connect, connect_locally
from modelmill_cli.interrupts import interruptible
from modelmill_cli.job_words import duration_words, result_facts
from modelmill_cli.logged_stack import logged_stack
from modelmill_cli.stack import StackOptions, require_all_services
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import print_table

if TYPE_CHECKING:
    from modelmill_recipes.recipe import Recipe
    from modelmill_recipes.run_recipe import RecipeResult

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]

MoveAlias = Annotated[
    bool, typer.Option("--move-alias", help="Move an alias that was moved by hand, too.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Show what would be done, and order nothing.")]
HourlyRate = Annotated[
    float, typer.Option(min=0.0, help="Price of an hour of the machine, for the cost of --plan.")
]
OwnPort = Annotated[
    int, typer.Option(help="Port of the HTTP API where nothing runs yet; 0: a free one.")
]
RunOn = Callable[[Modelmill], "RecipeResult"]

app = typer.Typer(no_args_is_help=True, help="Write and check recipes.")


def run(
    context: typer.Context,
    recipe: RecipeFile,
    move_alias: MoveAlias = False,
    plan: Plan = False,
    hourly_rate: HourlyRate = 0.0,
    http_port: OwnPort = 0,
) -> None:
    """Run a recipe: rows to a dataset, a fine-tuned model, its builds, a score and an alias.

    What was done with the same inputs is kept; Ctrl-C and failures lose nothing. Where nothing
    runs on the state folder, everything is started for the run and stopped behind it.
    """
    # They take a fifth of a second to load, which every other command would pay as well.
    from modelmill_recipes.recipe import Recipe

    state: StateFolder = context.obj
    console = Console(highlight=False)
    started = time.monotonic()
    ordered = Recipe.load(recipe)
    if plan:
        _print_plan(state, ordered, console, hourly_rate)
        return
    run_on = partial(_run_on, state, ordered, console, move_alias)
    try:
        client = connect(state)
    except PreconditionError:
        require_all_services()
        options = StackOptions(http_port=http_port)
        result = _run_in_own_stack(state, options, console, run_on)
        following = "mill up, and in another terminal "
    else:
        result = _run_beside(client, run_on)
        following = ""
    _print_result(result, ordered, console, time.monotonic() - started)
    console.print(escape(f"next: {following}mill chat --model {ordered.alias}"))


def _run_beside(client: Modelmill, run_on: RunOn) -> "RecipeResult":
    with client:
        try:
            return run_on(client)
        except KeyboardInterrupt:
            typer.echo("what was ordered goes on; the same run follows it again", err=True)
            raise


def _run_in_own_stack(
    state: StateFolder, options: StackOptions, console: Console, run_on: RunOn
) -> "RecipeResult":
    async def run() -> "RecipeResult":
        log_file = state.path / "up.log"
        console.print(f"starting NATS and six services ({log_file} has their logs) ...")
        async with logged_stack(state, options, log_file) as stack:
            client = connect_locally(state, stack.runtime.http_url)
            try:
                return await asyncio.to_thread(run_on, client)
            finally:
                client.close()  # ends the thread at its next call

    def say_stopping() -> None:
        console.print("stopping; the same run goes on from here")

    return asyncio.run(interruptible(run(), say_stopping))


def _print_plan(state: StateFolder, recipe: "Recipe", console: Console, hourly_rate: float) -> None:
    from modelmill_recipes.plan_recipe import plan_recipe

    from modelmill_cli.plan_table import print_plan
    from modelmill_cli.recipe_tokens import BaseTokenCounter

    with connect(state) as client:
        plan = plan_recipe(recipe, client, BaseTokenCounter(state, recipe, client))
    print_plan(plan, console, hourly_rate)


def _run_on(
    state: StateFolder,
    recipe: "Recipe",
    console: Console,
    move_alias: bool,
    client: Modelmill,
) -> "RecipeResult":
    from modelmill_recipes.errors import GateNotMetError
    from modelmill_recipes.orders import step_names
    from modelmill_recipes.run_recipe import RecipeRun
    from modelmill_recipes.run_record import RunRecord

    from modelmill_cli.run_table import view_on

    record = RunRecord.of(state.path / "recipes", recipe.name)
    with view_on(console, step_names(recipe)) as view:
        run = RecipeRun(
            recipe,
            client,
            partial(view.follow, client),
            partial(_imported, state),
            record,
            view,
        )
        try:
            run(move_alias=move_alias)
        except GateNotMetError as error:
            _write_report(run.made, recipe, client, record.report, console)
            raise WorkFailedError(error.message) from None
    _write_report(run.made, recipe, client, record.report, console)
    return run.made


def _write_report(
    made: "RecipeResult", recipe: "Recipe", client: Modelmill, target: Path, console: Console
) -> None:
    from modelmill_recipes.run_report import run_report

    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(run_report(recipe, made, client, client.url))
    console.print(escape(f"report: {target}"), soft_wrap=True)


def _imported(state: StateFolder, folder: Path) -> str:
    bringing = bring_in(state, folder, name=folder.name, tenant=DEFAULT_TENANT)
    return asyncio.run(bringing).version_id


def _print_result(made: "RecipeResult", recipe: "Recipe", console: Console, seconds: float) -> None:
    from modelmill_recipes.run_report import evaluation_scores

    table = Table(show_header=False, box=None)
    job: dict[str, Any] = {
        "kind": "train",
        "id": "",
        "spec": {"name": recipe.name},
        "result": {"version_id": made.version_id, "summary": dict(made.training)},
    }
    for name, value in result_facts(job):
        if name != "next":
            table.add_row(name, escape(value))
    for score in evaluation_scores(made):
        low, high = score.shown("low"), score.shown("high")
        table.add_row(escape(score.name), f"{score.shown('value')} ({low} to {high})")
    table.add_row("served", made.served_version_id)
    table.add_row("jobs", f"{len(made.jobs)} in {duration_words(seconds)}")
    print_table(table)


@app.command()
def new(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="File of rows: JSON lines, or CSV with a header.")
    ] = None,
    kind: Annotated[str, typer.Option(help=f"What it shall learn: {', '.join(KINDS)}.")] = "",
    output: Annotated[Path, typer.Option(help="The recipe to write.")] = Path("recipe.yaml"),
    base: Annotated[str, typer.Option(help="Base model: a folder, version or name.")] = "",
    name: Annotated[str, typer.Option(help="Name and alias; by default the file's.")] = "",
) -> None:
    """Write a recipe for a file of rows; the mapping is proposed from its columns."""
    from modelmill_recipes.new_recipe import new_recipe

    data = data or Path(_asked_for("data", "File of rows"))
    if not data.is_file():
        raise InvalidInputError(f"--data {data}: no such file.{did_you_mean_file(data)}")
    kind = kind or _asked_for("kind", f"What it shall learn ({', '.join(KINDS)})")
    if not is_kind(kind):
        meant = did_you_mean(kind, KINDS)
        raise InvalidInputError(f"--kind {kind}: must be {', '.join(KINDS)}.{meant}")
    if output.exists():
        raise PreconditionError(f"{output} is there already. Give --output another name")
    text = new_recipe(kind, data, output, base=base or _only_base(context.obj), name=name)
    output.write_text(text, encoding="utf-8")
    typer.echo(text, nl=False)
    typer.echo(f"\nnext: look at the mapping in {output}, then mill run {output}", err=True)


def _asked_for(option: str, question: str) -> str:
    """What a person at a terminal answers; without one it must be given."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"--{option} must be given where nobody can be asked")
    return str(typer.prompt(question))


def _only_base(state: StateFolder) -> str:
    """The newest base model of the instance that runs; or a folder to be filled."""
    try:
        with connect(state) as client:
            models: list[Any] = [*client.models.list()]
            for model in models:
                if model.get("form") == "safetensors" and not model.get("parent_version_id"):
                    return str(model["name"])
    except (DomainError, ModelmillError):
        pass  # none runs: that is no reason not to write a recipe
    return "./base-model"


@app.command()
def check(recipe: RecipeFile) -> None:
    """Verify a recipe, and name every error with its line."""
    from modelmill_recipes.recipe import Recipe
    from modelmill_recipes.survey_rows import check_columns

    check_columns(Recipe.load(recipe))
    typer.echo(f"{recipe}: no error found")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from modelmill_recipes.schema_errors import schema as recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
