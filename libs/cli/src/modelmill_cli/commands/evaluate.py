"""`mill eval`: how good a model is, and which of two is better."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from modelmill_cli.commands import judges
from modelmill_cli.commands.judges import check_passed, print_judged, scorer
from modelmill_cli.errors import WorkFailedError
from modelmill_cli.estimate_words import evaluation_facts
from modelmill_cli.estimates import figure_cells, figure_columns
from modelmill_cli.gateway import connect
from modelmill_cli.job_words import Job
from modelmill_cli.orders import Estimate, Fields, Wait, body_of, followed
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_json,
    print_list,
    print_table_of,
)
from modelmill_cli.short_ids import DATASET, EVALUATION, MODEL
from modelmill_cli.tables import plain, print_table

if TYPE_CHECKING:
    from modelmill_recipes.evaluation_suite import EvaluationSuite


class _RunByDefault(TyperGroup):
    """`mill eval --suite NAME MODEL` is `mill eval run --suite NAME MODEL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault, no_args_is_help=True, help="Evaluate models as they are served."
)

app.add_typer(judges.app, name="judge")

PAGE_ROWS = 100
ROW_COLUMNS: Columns = {
    "row": lambda row: row["row"],
    "suite": lambda row: row["suite"],
    "prompt": lambda row: row["prompt"] or "",
    "reference": lambda row: row["reference"],
    "answer": lambda row: _said(row["model"]),
    "right": lambda row: _verdict(row["model"]),
    "beside": lambda row: _said(row["compare_to"]),
    "right too": lambda row: _verdict(row["compare_to"]),
}
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id in `mill jobs list`, or how it begins.")
]
Form = Literal["html", "json", "rows"]
ENDINGS: Mapping[Form, str] = {"html": "html", "json": "json", "rows": "jsonl"}


Dataset = Annotated[str, typer.Option(help="Dataset whose rows are asked, ds-...")]
Split = Annotated[str, typer.Option(help="train, valid or test.")]
Other = Annotated[str, typer.Option(help="Second model, evaluated on the same rows.")]
SuiteOption = Annotated[
    str, typer.Option("--suite", help="Suite of tasks: a name in `mill eval suites`, or a folder.")
]
Tasks = Annotated[
    list[Path] | None, typer.Option(help="YAML file of a task; repeatable.", exists=True)
]
Data = Annotated[list[Path] | None, typer.Option(help="JSONL file that tasks name.", exists=True)]
Measures = Annotated[list[str] | None, typer.Option(help="Metric to compute; repeatable.")]
Slices = Annotated[list[str] | None, typer.Option(help="length, script, answer or a column.")]
Protections = Annotated[
    list[str] | None,
    typer.Option(
        help="Bound, as [TASK:]MEASURE[@BY=GROUP]=WORST; exit status 1 when it is worse."
        " mean=WORST bounds the mean of --suite, judge=WORST the score of --judge."
    ),
]


JudgeOption = Annotated[
    Path | None,
    typer.Option(help="judge.yaml of a judge, which scores generated answers.", exists=True),
]
MaxRows = Annotated[int, typer.Option(min=0, help="Maximum number of rows; 0 means 1,000.")]
JUDGE = "judge"
"""What `--protect` calls the score of the judge."""


@app.command()
def run(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="An alias, a version or a name.")],
    dataset: Dataset = "",
    split: Split = "test",
    compare_to: Other = "",
    suite: SuiteOption = "",
    task: Tasks = None,
    data: Data = None,
    measure: Measures = None,
    slice_by: Slices = None,
    protect: Protections = None,
    judge: JudgeOption = None,
    max_rows: MaxRows = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    fields: Fields = None,
    estimate: Estimate = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on a dataset's rows, on a suite, on tasks, or on all of them."""
    found, bounds = _suite(suite), [_protection(each) for each in protect or ()]
    worst = _judged_bound(bounds, judge, wait=wait)
    order: dict[str, Any] = {
        "model": model,
        "compare_to": compare_to,
        "dataset_id": dataset,
        "split": split,
        "measures": measure,
        "slices": [{"by": each} for each in slice_by or ()],
        "protections": [each for each in bounds if each["measure"] != JUDGE],
        "with_prompts": judge is not None or None,
        **{"max_rows": max_rows, "seed": seed},
    }
    with connect(context.obj) as client:
        score = None if judge is None else scorer(client, judge, worst)
        order |= _full_ids(client, order) | _tasks(client, found, task or (), data or ())
        do = partial(_estimate, client) if estimate else partial(_order, client, score, wait=wait)
        do(body_of(order, fields), as_json=as_json)


def _full_ids(client: Modelmill, order: Mapping[str, Any]) -> dict[str, str]:
    """Ids of what the order names, which may be written short."""
    sorts = {"model": MODEL, "compare_to": MODEL, "dataset_id": DATASET}
    return {
        field: sort.full_id(client, order[field]) for field, sort in sorts.items() if order[field]
    }


def _suite(given: str) -> "EvaluationSuite | None":
    from modelmill_recipes.evaluation_suite import find_suite

    return find_suite(given) if given else None


@app.command()
def suites(as_json: AsJson = False) -> None:
    """List suites of tasks: those built in, and those in the folders of MODELMILL_SUITES."""
    from modelmill_recipes.evaluation_suite import EvaluationSuite, suite_folders

    found = [EvaluationSuite.load(folder) for folder in suite_folders().values()]
    records = [
        {
            "name": each.name,
            "tasks": [task.name for task in each.tasks],
            "rows": each.rows,
            "license": each.license,
            "description": each.description,
            "folder": str(each.folder),
        }
        for each in found
    ]
    columns: Columns = {
        "name": lambda it: it["name"],
        "tasks": lambda it: ", ".join(it["tasks"]),
        "rows": lambda it: f"{it['rows']:,}",
        "licence": lambda it: it["license"],
        "about": lambda it: it["description"],
    }
    print_list(records, columns, as_json=as_json)


def _tasks(
    client: Modelmill,
    suite: "EvaluationSuite | None",
    tasks: Sequence[Path],
    data: Sequence[Path],
) -> dict[str, Any]:
    """Tasks of a suite, and others, which may name any of the files; all files are uploaded."""
    from modelmill_recipes.orders import upload_suite

    files = [client.files.upload(each, purpose="user_data")["id"] for each in data]
    own = [{"config": each.read_text("utf-8"), "data_file_ids": files} for each in tasks]
    of_suite = {"tasks": []} if suite is None else suite.order(upload_suite(client, suite))
    return {**of_suite, "tasks": [*of_suite["tasks"], *own]}


def _judged_bound(
    protections: Sequence[Mapping[str, Any]], judge: Path | None, *, wait: bool
) -> float | None:
    """The worst score of the judge that is accepted; None where it bounds nothing."""
    bounds = [each for each in protections if each["measure"] == JUDGE]
    if bounds and judge is None:
        raise InvalidInputError("--protect judge needs a judge. Name its file by --judge")
    if judge is not None and not wait:
        raise InvalidInputError(
            "--judge needs the result. Leave --no-wait out, or judge later by"
            " `mill eval judge score`"
        )
    if any(each["slice_by"] or each.get("suite") for each in bounds) or len(bounds) > 1:
        raise InvalidInputError("--protect judge: write judge=WORST, once")
    return float(bounds[0]["worst"]) if bounds else None


def _estimate(client: Modelmill, order: dict[str, Any], *, as_json: bool) -> None:
    found = client.evaluations.estimate(**order)
    print_table_of(found, evaluation_facts(found), as_json=as_json)


def _order(
    client: Modelmill,
    score: Callable[[str], dict[str, Any]] | None,
    order: dict[str, Any],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    accepted = client.evaluations.create(**order)
    job_id = accepted["id"]
    if not wait:
        print_done(accepted, job_id, as_json=as_json)
        return
    job = followed(client, job_id, as_json=as_json)
    if not as_json:
        _print_result(job, as_json=False)
    judged = score(job_id) if score is not None else None
    if as_json:
        print_json(job if judged is None else {**job, "judged": judged})
    elif judged is not None:
        print_judged(judged)
    if not job["result"]["summary"]["passed"]:
        raise WorkFailedError(f"{job_id}: a protected measure is worse than it may be")
    if judged is not None:
        check_passed(judged)


@app.command()
def show(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show the result of an evaluation."""
    with connect(context.obj) as client:
        job = client.evaluations.retrieve(EVALUATION.full_id(client, job_id))
    if job["result"]:
        _print_result(job, as_json=as_json)
    else:
        print_done(job, f"{job['id']}: {job['status']}", as_json=as_json)


@app.command()
def report(
    context: typer.Context,
    job_id: JobId,
    form: Annotated[Form, typer.Option("--format", help="Form of the report.")] = "html",
    output: Annotated[Path | None, typer.Option(help="File to write to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write an evaluation's report: a page, all metrics, or each row's answers and scores."""
    target = output or Path(f"evaluation.{ENDINGS[form]}")
    with connect(context.obj) as client:
        job_id = EVALUATION.full_id(client, job_id)
        client.evaluations.download_report(job_id, target, format=form)
    print_done({"id": job_id, "path": str(target)}, str(target), as_json=as_json)


@app.command()
def rows(
    context: typer.Context,
    job_id: JobId,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only rows that are wrong.")] = False,
    differs: Annotated[
        bool, typer.Option("--differs", help="Only rows that both models answered differently.")
    ] = False,
    text: Annotated[
        str, typer.Option(help="Only rows whose prompt, reference or answers have this text.")
    ] = "",
    suite: Annotated[str, typer.Option(help='"dataset" or a task.')] = "",
    group: Annotated[
        str, typer.Option("--slice", help="Only rows of a group, as BY=GROUP, like length=0-200.")
    ] = "",
    first: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List rows of an evaluation: reference, answers of both models, and scores."""
    by, _, value = group.partition("=")
    if bool(by) != bool(value):
        raise InvalidInputError(f"--slice {group[:80]!r}: write BY=GROUP, such as length=0-200")
    with connect(context.obj) as client:
        job_id = EVALUATION.full_id(client, job_id)
        found = client.evaluations.rows(
            job_id,
            wrong=wrong,
            differs=differs,
            text=text,
            suite=suite,
            group=(by, value) if by else None,
            page_size=min(first, PAGE_ROWS),
        )
        print_list(islice(found, first), ROW_COLUMNS, as_json=as_json)


def _protection(written: str) -> dict[str, Any]:
    """From [TASK:]MEASURE[@BY=GROUP]=WORST."""
    of, _, worst = written.rpartition("=")
    named, _, group = of.partition("@")
    task, _, measure = named.rpartition(":")
    by, _, value = group.partition("=")
    try:
        bound = float(worst)
    except ValueError:
        bound = None
    if bound is None or not measure or bool(by) != bool(value):
        raise InvalidInputError(
            f"--protect {written[:80]!r}: write MEASURE=WORST, TASK:MEASURE=WORST or"
            " MEASURE@BY=GROUP=WORST"
        )
    group_of = {"slice_by": by, "slice_value": value}
    return {"measure": measure, **group_of, "worst": bound, **({"suite": task} if task else {})}


def _print_result(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    console, summary = Console(highlight=False), job["result"]["summary"]
    models = summary["models"]
    for side, model in models.items():
        console.print(f"{side}: {escape(model['asked'])}  {model['version_id']}")
    columns = figure_columns("measure", has_other="compare_to" in models)
    for name, suite in summary["suites"].items():
        table = Table(*columns, title=f"{escape(name)}: {int(suite['rows']):,} rows")
        # Evaluations of before name none, and show all.
        for measure in suite.get("shown") or suite["measures"]:
            table.add_row(measure, *figure_cells(suite["measures"][measure], len(columns) - 1))
        print_table(table)
    if suite := summary.get("suite"):
        _print_mean(suite, columns)
    for each in summary["protections"]:
        of = f" of {each['slice_by']} {each['slice_value']}" if each["slice_by"] else ""
        verdict = "holds" if each["passed"] else f"FAILED: {each['why']}"
        task = f"{each['suite']}: " if each.get("suite") else ""
        console.print(escape(f"{task}{each['measure']}{of}: {verdict}"))


def _print_mean(suite: Mapping[str, Any], columns: Sequence[str]) -> None:
    """The mean over the tasks; won, tied and lost are shares of them."""
    title = f"suite {suite['name']} ({suite['license']})"
    if not suite["mean"]:
        Console(highlight=False).print(plain(f"{title}: {suite['without_mean']}"))
        return
    table = Table(*columns, title=plain(title))
    table.add_row(
        f"mean of {len(suite['metrics'])} tasks", *figure_cells(suite["mean"], len(columns) - 1)
    )
    print_table(table)


def _said(answer: Mapping[str, Any] | None) -> str:
    """What a model chose, else what it wrote."""
    return "" if answer is None else str(answer["chosen"] or answer["answer"] or "")


def _verdict(answer: Mapping[str, Any] | None) -> str:
    """Whether that is right; without such a metric, the scores."""
    if answer is None:
        return ""
    if answer["is_right"] is not None:
        return "yes" if answer["is_right"] else "no"
    return ", ".join(f"{name} {score:.3g}" for name, score in answer["scores"].items())
