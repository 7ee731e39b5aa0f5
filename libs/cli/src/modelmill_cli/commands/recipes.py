"""`mill run` and `mill recipe`: from rows to a served model by one file."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_client import Modelmill, ModelmillError
from modelmill_recipes.propose import KINDS, is_kind
from modelmill_service_kit.errors import DomainError, InvalidInputError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.gateway import connect
from modelmill_cli.job_words import duration_words, result_facts
from modelmill_cli.output import AsJson, print_done, print_json
from modelmill_cli.stack_options import StackOptions, require_all_services
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import print_table

if TYPE_CHECKING:
    from modelmill_recipes.recipe import Recipe

    from modelmill_cli.recipe_call import EndedRun, RecipeCall

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
app = typer.Typer(no_args_is_help=True, help="Write and check recipes.")


def run(
    context: typer.Context,
    recipe: RecipeFile,
    move_alias: MoveAlias = False,
    plan: Plan = False,
    hourly_rate: HourlyRate = 0.0,
    http_port: OwnPort = 0,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: rows to a dataset, a fine-tuned model, its builds, a score and an alias.

    What was done with the same inputs is kept; Ctrl-C and failures lose nothing. Where nothing
    runs on the state folder, everything is started for the run and stopped behind it.
    """
    # They take a fifth of a second to load, which every other command would pay as well.
    from modelmill_recipes.recipe import Recipe

    from modelmill_cli.recipe_call import RecipeCall

    state: StateFolder = context.obj
    console = Console(stderr=as_json, highlight=False)
    started = time.monotonic()
    ordered = Recipe.load(recipe)
    if plan:
        _print_plan(state, ordered, hourly_rate, as_json=as_json)
        return
    call = RecipeCall(state, ordered, console, move_alias)
    ended, following = _run(call, StackOptions(http_port=http_port))
    seconds = time.monotonic() - started
    if as_json:
        print_json({**ended.document, "seconds": seconds})
    else:
        _print_result(ended, ordered, console, seconds)
    if ended.gate:
        raise WorkFailedError(ended.gate)
    if not as_json:
        console.print(escape(f"next: {following}mill chat --model {ordered.alias}"))


def _run(call: "RecipeCall", options: StackOptions) -> tuple["EndedRun", str]:
    """The run, on what runs or on a stack of its own; and what has to be typed behind it first."""
    from modelmill_cli.recipe_call import in_own_stack

    try:
        client = connect(call.state)
    except PreconditionError:
        require_all_services()
        stopping = "stopping; the same run goes on from here"
        ended = in_own_stack(
            *(call.state, options, call.console, call),
            stopping=stopping,
            on_end=call.stopped.set,
        )
        return ended, "mill up, and in another terminal "
    return _run_beside(client, call), ""


def _run_beside(client: Modelmill, call: "RecipeCall") -> "EndedRun":
    with client:
        try:
            return call(client)
        except KeyboardInterrupt:
            typer.echo("what was ordered goes on; the same run follows it again", err=True)
            raise


def _print_plan(state: StateFolder, recipe: "Recipe", hourly_rate: float, *, as_json: bool) -> None:
    from modelmill_recipes.plan_recipe import plan_recipe

    from modelmill_cli.commands.judges import ReadyJudge
    from modelmill_cli.plan_table import plan_document, print_plan
    from modelmill_cli.recipe_tokens import BaseTokenCounter

    with connect(state) as client:
        plan = plan_recipe(recipe, client, BaseTokenCounter(state, recipe, client))
        if recipe.judge is not None and recipe.judge.worst is not None:
            plan.notes += ReadyJudge.of(client, recipe.judge.file).why_undecided()
    if as_json:
        print_json({"name": recipe.name, **plan_document(plan, hourly_rate)})
    else:
        print_plan(plan, Console(highlight=False), hourly_rate)


def _print_result(ended: "EndedRun", recipe: "Recipe", console: Console, seconds: float) -> None:
    from modelmill_recipes.run_report import evaluation_scores

    made = ended.made
    console.print(escape(f"report: {ended.report}"), soft_wrap=True)
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
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="File of rows, a glob in quotes, or a folder of documents;"
            " repeatable. Rows are JSON lines, CSV with a header, Parquet or text; documents are"
            " PDF, Word, HTML and Markdown.",
        ),
    ] = None,
    kind: Annotated[str, typer.Option(help=f"What it shall learn: {', '.join(KINDS)}.")] = "",
    output: Annotated[Path, typer.Option(help="The recipe to write.")] = Path("recipe.yaml"),
    base: Annotated[str, typer.Option(help="Base model: a folder, version or name.")] = "",
    name: Annotated[str, typer.Option(help="Name and alias; by default the file's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a recipe for files of rows; the mapping is proposed from their columns."""
    from modelmill_recipes.located import LocatedYaml
    from modelmill_recipes.new_recipe import new_recipe

    data = data or [_asked_for("data", "File of rows")]
    kind = kind or _asked_for("kind", f"What it shall learn ({', '.join(KINDS)})")
    if not is_kind(kind):
        meant = did_you_mean(kind, KINDS)
        raise InvalidInputError(f"--kind {kind}: must be {', '.join(KINDS)}.{meant}")
    if output.exists():
        raise PreconditionError(f"{output} is there already. Give --output another name")
    text = new_recipe(kind, data, output, base=base or _only_base(context.obj), name=name)
    output.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"recipe": str(output.resolve()), **LocatedYaml(output).value})
        return
    typer.echo(text, nl=False)
    typer.echo(f"\nnext: look at the mapping in {output}, then mill run {output}", err=True)


def _asked_for(option: str, question: str) -> str:
    """What a person at a terminal answers; without one it must be given."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"--{option} must be given where nobody can be asked")
    return str(typer.prompt(question, err=True))


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
def check(context: typer.Context, recipe: RecipeFile, as_json: AsJson = False) -> None:
    """Verify a recipe, and name every error with its line.

    A base that is a name is looked up where Modelmill runs.
    """
    from modelmill_recipes.recipe import Recipe
    from modelmill_recipes.survey_rows import check_columns

    from modelmill_cli.judging.judge import AnswerJudge

    where = {"recipe": str(recipe.resolve())}
    try:
        checked = Recipe.load(recipe)
        check_columns(checked)
        if checked.judge is not None:
            AnswerJudge.load(checked.judge.file)
        notes = _notes_on_base(context.obj, checked)
    except InvalidInputError as error:
        if as_json:
            print_json({**where, "errors": [*error.errors]})
        raise
    facts = {**where, "name": checked.name, "files": [str(file) for file in checked.files]}
    words = "; ".join([f"{recipe}: no error found", *notes])
    print_done({**facts, "errors": [], "notes": notes}, words, as_json=as_json)


def _notes_on_base(state: StateFolder, recipe: "Recipe") -> list[str]:
    """Why it is not known whether there is a base of that name; empty where it is known.

    Raises:
        InvalidInputError: There is none; the error has its line.
    """
    from modelmill_recipes.orders import version_of
    from modelmill_recipes.refusals import in_section

    if not isinstance(recipe.base, str):
        return []
    try:
        with connect(state) as client, in_section(recipe, "base"):
            version_of(client, recipe.base)
    except InvalidInputError:
        raise
    except (DomainError, ModelmillError) as error:
        return [f"base {recipe.base!r} was not looked up: {error}"]
    return []


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from modelmill_recipes.schema_errors import schema as recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
