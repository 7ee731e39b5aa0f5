"""`mill jobs`: what runs, what ran, how it goes, what it said, and what it shall do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal

import typer
from modelmill_client import JobFailedError, Modelmill, types
from modelmill_client.errors import failure_of
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean
from rich.console import Console

from modelmill_cli.form_table import print_forms
from modelmill_cli.gateway import connect
from modelmill_cli.job_comparison import LOSSES, print_comparison
from modelmill_cli.job_watch import curve_of, figures_line
from modelmill_cli.job_words import (
    Job,
    dataset_of,
    facts,
    log_tail,
    model_of,
    name_of,
    result_facts,
    seconds_left,
    turn_words,
)
from modelmill_cli.orders import followed
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_json,
    print_list,
    print_table_of,
    when,
)
from modelmill_cli.short_ids import JOB
from modelmill_cli.tables import escaped

app = typer.Typer(no_args_is_help=True, help="Manage jobs of every kind.")

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id in `mill jobs list`, or how it begins.")
]
MIN_COMPARED, MAX_COMPARED = 2, 10
COLUMNS: Columns = {
    "job": lambda job: job["id"],
    "kind": lambda job: job["kind"],
    "name": name_of,
    "model": model_of,
    "dataset": dataset_of,
    "status": lambda job: job["status"],
    "phase": lambda job: (job.get("progress") or {}).get("phase", ""),
    "figures, turn or error": lambda job: _news(job),
}

METRIC_COLUMNS: Columns = {
    "metric": lambda series: series["name"],
    "phase": lambda series: series["phase"],
    "points": lambda series: f"{series['total']:,}",
    "last step": lambda series: f"{series['steps'][-1]:,}",
    "last": lambda series: f"{series['values'][-1]:.4g}",
    "lowest": lambda series: f"{min(series['values']):.4g}",
    "highest": lambda series: f"{max(series['values']):.4g}",
}

CHECKPOINT_COLUMNS: Columns = {
    "step": lambda saved: f"{saved['step_number']:,}",
    "saved": lambda saved: when(saved["created_at"]),
    "training loss": lambda saved: _loss(saved, "train_loss"),
    "validation loss": lambda saved: _loss(saved, "full_valid_loss", "valid_loss"),
    "model": lambda saved: saved["fine_tuned_model_checkpoint"] or "",
}


def _loss(saved: types.Checkpoint, *names: str) -> str:
    """The first of these that is known."""
    losses = (saved["metrics"].get(name) for name in names)
    known = next((loss for loss in losses if loss is not None), None)
    return "" if known is None else f"{known:.4g}"


@app.command("list")
def list_jobs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="dataset, train, evaluate or optimize.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(help="queued, running, paused, succeeded, failed or cancelled; repeatable."),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Number of newest jobs to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connect(context.obj) as client:
        found = client.jobs.list(kind=kind, status=status)
        jobs = [*islice(found, last)]
        if next(found, None) is not None:
            typer.echo(f"older than these {last} are more; --last shows them", err=True)
    print_list(jobs, COLUMNS, as_json=as_json)


def _news(job: Job) -> str:
    """What one wants to know first of a job in a list."""
    progress = job.get("progress") or {}
    last_words = log_tail(job).splitlines()[-1:]
    return (
        turn_words(job)
        or "\n".join(words for words in (failure_of(job), *last_words) if words)
        or figures_line(progress.get("metrics") or {}, seconds_left(job))
    )


@app.command()
def show(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: who asked, its turn, what it took, its losses, and what it made."""
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        job = client.jobs.retrieve(job_id)
        curve = curve_of(client, job_id) if job["kind"] == "train" and not as_json else None
    print_table_of(job, facts(job), as_json=as_json)
    if as_json:
        return
    console = Console()
    if log_tail(job):
        console.print(log_tail(job), markup=False, highlight=False)
    if curve is not None:
        curve.draw(console)
    print_table_of(job, result_facts(job), as_json=False)


@app.command()
def logs(
    context: typer.Context,
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the job ends; exit status 1 if it fails.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a job said, oldest first: a line an event, and the end of a failed one's log."""
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        # All that was said comes first, and is in memory where nobody waits for more.
        events = client.jobs.follow(job_id) if follow else [*client.jobs.events(job_id)][::-1]
        for event in events:
            print_event(event, as_json=as_json)
        job = client.jobs.retrieve(job_id)
    if log_tail(job) and not as_json:
        Console().print(log_tail(job), markup=False, highlight=False)
    if follow and job["status"] != "succeeded":
        raise JobFailedError(job)


def print_event(event: types.JobEvent, *, as_json: bool) -> None:
    """When, how bad and what; of a progress report also its figures."""
    if as_json:
        print_json(event, indent=None)
        return
    at = datetime.fromtimestamp(event["created_at"], UTC)
    words = " ".join(event["message"].split())
    typer.echo(f"{at:%Y-%m-%dT%H:%M:%SZ} {event['level']:<5} {escaped(words)}")


@app.command()
def metrics(
    context: typer.Context,
    job_id: JobId,
    name: Annotated[
        list[str] | None, typer.Option(help="Metric to show, such as loss; repeatable.")
    ] = None,
    points: Annotated[
        int, typer.Option(min=4, max=10_000, help="Most points of a metric with --json.")
    ] = 2_000,
    from_step: Annotated[int | None, typer.Option(min=0, help="First step.")] = None,
    to_step: Annotated[int | None, typer.Option(min=0, help="Last step.")] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print every point of every metric, a line a step.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a job has measured by step: how many points, the last, the lowest, the highest."""
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        if as_csv:
            typer.echo(client.jobs.metrics_csv(job_id), nl=False)
            return
        found = client.jobs.metrics(
            job_id, points=points, from_step=from_step, to_step=to_step, name=name
        )
        if name:
            _check_names(client, job_id, name)
    if not found["is_complete"]:
        typer.echo("earlier steps may be missing: their service does not answer", err=True)
    if as_json:
        print_json(found)
    elif found["series"]:
        print_list(found["series"], METRIC_COLUMNS, as_json=False)
    else:
        typer.echo("nothing was measured by step", err=True)


def _check_names(client: Modelmill, job_id: str, names: Sequence[str]) -> None:
    """Raise NotFoundError for a metric that the job does not have, with the nearest one."""
    known = {each["name"] for each in client.jobs.metrics(job_id, points=4)["series"]}
    for name in names:
        if known and name not in known:
            raise NotFoundError(
                f"no metric {name!r}.{did_you_mean(name, known)}"
                f" `mill jobs metrics {job_id}` lists what there is"
            )


@app.command()
def compare(
    context: typer.Context,
    job_ids: Annotated[
        list[str],
        typer.Argument(metavar="JOB JOB...", help="Two to ten of `mill jobs list`."),
    ],
    with_all: Annotated[
        bool, typer.Option("--all", help="Show settings that are alike, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare jobs: data, settings that differ, scores with intervals, and losses."""
    if not MIN_COMPARED <= len(job_ids) <= MAX_COMPARED:
        raise InvalidInputError(
            f"name {MIN_COMPARED} to {MAX_COMPARED} of `mill jobs list`; {len(job_ids)}"
            f" {'was' if len(job_ids) == 1 else 'were'} given"
        )
    with connect(context.obj) as client:
        first, *others = [JOB.full_id(client, each) for each in job_ids]
        found = client.jobs.compare(first, others, name=LOSSES)
    for each in found["jobs"]:
        if not each["is_complete"]:
            typer.echo(f"{each['job']['id']}: earlier steps may be missing", err=True)
    if as_json:
        print_json(found)
    else:
        print_comparison(found, with_all=with_all)


@app.command()
def checkpoints(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """List checkpoints of a training, newest first; of one that succeeded, its model."""
    with connect(context.obj) as client:
        saved = client.fine_tuning.jobs.checkpoints(JOB.full_id(client, job_id))
        print_list(saved, CHECKPOINT_COLUMNS, as_json=as_json)


@app.command()
def candidates(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show what a search for an objective measured, with the Pareto frontier and its choice."""
    with connect(context.obj) as client:
        found = client.optimizations.candidates(JOB.full_id(client, job_id))
    if as_json:
        print_json(found)
    else:
        print_forms(found)


@app.command()
def watch(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Follow one job's steps, losses and time left until it ends; Ctrl-C leaves it running."""
    with connect(context.obj) as client:
        job = followed(client, JOB.full_id(client, job_id), as_json=as_json)
    print_table_of(job, result_facts(job), as_json=as_json)


@app.command()
def cancel(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel a job for good; nothing that it has made is published."""
    _control(context, job_id, "cancel", as_json=as_json)


@app.command()
def pause(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Pause a job at its next checkpoint; `mill jobs resume` continues from there."""
    _control(context, job_id, "pause", as_json=as_json)


@app.command()
def resume(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Resume a paused job, or retry a failed one."""
    _control(context, job_id, "resume", as_json=as_json)


def _control(
    context: typer.Context,
    job_id: str,
    action: Literal["cancel", "pause", "resume"],
    *,
    as_json: bool,
) -> None:
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        job: Job = getattr(client.jobs, action)(job_id)
    print_done(job, f"{job_id}: {action} asked for; now {job['status']}", as_json=as_json)
