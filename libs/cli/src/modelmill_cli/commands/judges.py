"""`mill eval judge`: models that grade answers, and what their grades are worth."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import PreconditionError
from rich.console import Console
from rich.table import Table

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.estimates import figure_cells, figure_columns
from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_json, print_table_of
from modelmill_cli.short_ids import EVALUATION
from modelmill_cli.tables import plain, print_table

if TYPE_CHECKING:
    from modelmill_cli.judging.judge import AnswerJudge, JudgeVersion

app = typer.Typer(no_args_is_help=True, help="Manage judges: models that grade answers.")

JudgeFile = Annotated[Path, typer.Argument(metavar="JUDGE.yaml", help="The judge's file.")]
Probes = Annotated[
    int, typer.Option(min=0, max=1000, help="Rows to try hostile text on; 0 tries none.")
]
Worst = Annotated[
    float | None,
    typer.Option(help="Worst accepted mean score; exit status 1 when it is worse."),
]
Document = dict[str, Any]
Record = Mapping[str, Any]


@app.command()
def calibrate(
    context: typer.Context,
    judge_file: JudgeFile,
    rows_file: Annotated[
        Path, typer.Argument(metavar="ROWS.jsonl", help="Answers with the labels of people.")
    ],
    probes: Probes = 20,
    as_json: AsJson = False,
) -> None:
    """Compare a judge's labels with reference labels, and publish the agreement."""
    from modelmill_cli.judging.agreements import publish, read_references
    from modelmill_cli.judging.judge import AnswerJudge
    from modelmill_cli.judging.label_answers import version_of_judge
    from modelmill_cli.judging.measure_agreement import measure_agreement

    judge, content = AnswerJudge.load(judge_file), rows_file.read_bytes()
    rows = read_references(content.decode("utf-8", "replace"), rows_file.name, judge.labels)
    with connect(context.obj) as client:
        version = version_of_judge(judge, client)
        with _progress() as progress:
            found = measure_agreement(judge, version, client, rows, probes, progress)
        record = {**found, "rows_sha256": hashlib.sha256(content).hexdigest()}
        file_id = publish(client, record)
    _print_record(judge, version, record, as_json=as_json, file_id=file_id)


@app.command()
def show(context: typer.Context, judge_file: JudgeFile, as_json: AsJson = False) -> None:
    """Show a judge's published agreement, and whether it may decide."""
    from modelmill_cli.judging.agreements import agreement_with, published, why_undecided
    from modelmill_cli.judging.judge import AnswerJudge
    from modelmill_cli.judging.label_answers import version_of_judge

    judge = AnswerJudge.load(judge_file)
    with connect(context.obj) as client:
        version = version_of_judge(judge, client)
        records = published(client, judge)
    record = agreement_with(records, version)
    if record is not None:
        _print_record(judge, version, record, as_json=as_json)
        return
    why = why_undecided(judge, version, records)
    document = {"judge": judge.name, "digest": version.digest, "decides": False, "why": why}
    print_table_of(document, _facts(document), as_json=as_json)


@app.command()
def score(
    context: typer.Context,
    judge_file: JudgeFile,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="A finished evaluation.")],
    worst: Worst = None,
    as_json: AsJson = False,
) -> None:
    """Judge the answers of an evaluation, by a rubric."""
    with connect(context.obj) as client:
        judged = scorer(client, judge_file, worst)
        document = judged(EVALUATION.full_id(client, job_id))
    if as_json:
        print_json(document)
    else:
        print_judged(document)
    check_passed(document)


def scorer(client: Modelmill, file: Path, worst: float | None) -> Callable[[str], Document]:
    """What scores the answers of a finished evaluation, by its id.

    Args:
        worst: Worst accepted mean score; None where the judge decides nothing.

    Raises:
        PreconditionError: the judge may not decide.
    """
    ready = ReadyJudge.of(client, file)
    if worst is not None:
        ready.require_decision()
    return partial(ready.score, worst=worst)


class ReadyJudge:
    """A judge with its published agreement."""

    def __init__(
        self,
        client: Modelmill,
        judge: "AnswerJudge",
        version: "JudgeVersion",
        records: Sequence[Record],
        *,
        is_shown: bool,
    ) -> None:
        self._client = client
        self._judge = judge
        self._version = version
        self._records = records
        self._is_shown = is_shown

    @classmethod
    def of(cls, client: Modelmill, file: Path, *, is_shown: bool = True) -> "ReadyJudge":
        """Read it, and look up what its model stands for.

        Args:
            is_shown: Whether a terminal is told how many answers are judged.
        """
        from modelmill_cli.judging.agreements import published
        from modelmill_cli.judging.judge import AnswerJudge
        from modelmill_cli.judging.label_answers import version_of_judge

        judge = AnswerJudge.load(file)
        version = version_of_judge(judge, client)
        return cls(client, judge, version, published(client, judge), is_shown=is_shown)

    def require_decision(self, models: Sequence[str] = ()) -> None:
        """Refuse to let it decide before its agreement is known.

        Raises:
            PreconditionError: why it may not.
        """
        for why in self.why_undecided(models):
            raise PreconditionError(why)

    def why_undecided(self, models: Sequence[str] = ()) -> list[str]:
        """Why it may not decide; nothing where it may."""
        why = self._why(models)
        return [f"judge {self._judge.name} may not decide: {why}"] if why else []

    def score(self, job_id: str, worst: float | None) -> Document:
        """Scores of a finished evaluation's answers.

        Raises:
            WorkFailedError: the judge went away, the budget is used up, or it gives no labels.
            PreconditionError: the evaluation has nothing to judge, or the judge may not decide.
        """
        from modelmill_cli.judging.judged_evaluation import (
            judged_figures,
            protection_of,
            read_rows,
        )
        from modelmill_cli.judging.label_answers import endpoint_of, label_answers

        rows = read_rows(self._rows(job_id), job_id)
        endpoint = endpoint_of(self._judge, self._version, self._client)
        answers = [answer for row in rows for answer in row.answers]
        with _progress(is_shown=self._is_shown) as progress:
            labels = label_answers(self._judge, self._version, endpoint, answers, progress)
        figures = judged_figures(self._judge, rows, labels)
        models = sorted(labels.models)
        if worst is not None:
            self.require_decision(models)
        why = self._why(models)
        return {
            "job_id": job_id,
            "judge": self._judge.name,
            "digest": self._version.digest,
            "decides": not why,
            "why": why,
            **figures,
            "protections": [] if worst is None else [protection_of(worst, figures)],
            "usage": self._judge.budget.document(labels.usage),
        }

    def _why(self, models: Sequence[str]) -> str:
        from modelmill_cli.judging.agreements import why_undecided

        return why_undecided(self._judge, self._version, self._records, models)

    def _rows(self, job_id: str) -> list[str]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rows.jsonl"
            self._client.evaluations.download_report(job_id, path, format="rows")
            # Not `splitlines`: it also splits at Unicode separators inside an answer.
            return path.read_text("utf-8").split("\n")


def print_judged(document: Document) -> None:
    """Scores by task, and their mean; and that they decide nothing, where that is so."""
    console = Console(highlight=False)
    columns = figure_columns("task", has_other="compare_to" in document["mean"])
    table = Table(*columns, title=plain(f"judge {document['judge']}: {document['rows']:,} rows"))
    for name, figures in document["tasks"].items():
        table.add_row(plain(name), *figure_cells(figures, len(columns) - 1))
    if len(document["tasks"]) > 1:
        table.add_row("mean of tasks", *figure_cells(document["mean"], len(columns) - 1))
    print_table(table)
    if document["unlabelled"]:
        words = f"{document['unlabelled']:,} answers got no label, and count as the worst"
        console.print(plain(words), soft_wrap=True)
    if document["refused"]:
        words = f"of them the judge refused {document['refused']:,}: {document['refusal']}"
        console.print(plain(words), soft_wrap=True)
    if not document["decides"]:
        console.print(plain(f"not decided: {document['why']}"), soft_wrap=True)
    for each in document["protections"]:
        verdict = "holds" if each["passed"] else f"FAILED: {each['why']}"
        console.print(plain(f"judge: {verdict}"), soft_wrap=True)


def check_passed(document: Document) -> None:
    """Raises WorkFailedError where a bound is not met."""
    if not all(each["passed"] for each in document["protections"]):
        raise WorkFailedError(f"{document['job_id']}: the judge's score is worse than it may be")


def _print_record(
    judge: "AnswerJudge",
    version: "JudgeVersion",
    record: Record,
    *,
    as_json: bool,
    file_id: str = "",
) -> None:
    from modelmill_cli.judging.agreements import why_undecided

    why = why_undecided(judge, version, [record])
    document = {**record, "decides": not why, "why": why}
    if file_id:
        document["file_id"] = file_id
    print_table_of(document, _facts(document), as_json=as_json)


def _facts(document: Record) -> Iterator[tuple[str, object]]:
    yield "judge", f"{document['judge']} {document['digest'][:16]}"
    if "kappa" in document:
        yield "rows", f"{document['rows']:,}, of which {document['unlabelled']:,} got no label"
        for name in ("agreement", "kappa"):
            value, interval = figure_cells({"model": document[name]}, 2)
            yield name, f"{value} ({interval})"
        injection = document["injection"]
        yield "hostile text", f"raised {injection['raised']:,} of {injection['rows']:,} labels"
        yield "answered as", ", ".join(document["answered_as"])
    yield "decides", "yes" if document["decides"] else f"no: {document['why']}"


@contextmanager
def _progress(*, is_shown: bool = True) -> "Iterator[Any]":
    console = Console(stderr=True, highlight=False)
    is_shown = is_shown and console.is_terminal

    def progress(done: int, total: int) -> None:
        if is_shown:
            console.print(f"\r{done:,} of {total:,} answers", end="")

    try:
        yield progress
    finally:
        if is_shown:
            console.print()
