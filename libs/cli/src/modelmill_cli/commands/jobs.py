"""`mill jobs`: what runs, what ran, how it goes, and what it shall do."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

import typer
from modelmill_client.errors import failure_of
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.gateway import connect
from modelmill_cli.job_watch import curve_of, figures_line, watch_job
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
from modelmill_cli.short_ids import JOB
from modelmill_cli.tables import plain, print_table

app = typer.Typer(no_args_is_help=True, help="Manage jobs of every kind.")

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id in `mill jobs list`, or how it begins.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the job's record for a program.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="dataset, train, evaluate or optimize.")] = None,
    last: Annotated[int, typer.Option(min=1, help="Number of newest jobs to list.")] = 100,
) -> None:
    """List jobs, newest first."""
    with connect(context.obj) as client:
        found = client.jobs.list(kind=kind)
        jobs = [*islice(found, last)]
        if next(found, None) is not None:
            typer.echo(f"older than these {last} are more; --last shows them", err=True)
    table = Table(
        *("job", "kind", "name", "model", "dataset", "status", "phase"), "figures, turn or error"
    )
    for job in jobs:
        progress: Mapping[str, Any] = job.get("progress") or {}
        said = (name_of(job), model_of(job), dataset_of(job), job["status"])
        table.add_row(
            *(job["id"], job["kind"], *map(plain, said)),
            *(progress.get("phase", ""), escape(_news(job))),
        )
    print_table(table)


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
    console = Console()
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        job = client.jobs.retrieve(job_id)
        if as_json:
            console.print_json(data=job)
            return
        curve = curve_of(client, job_id) if job["kind"] == "train" else None
    _print_facts(facts(job))
    if log_tail(job):
        console.print(log_tail(job), markup=False, highlight=False)
    if curve is not None:
        curve.draw(console)
    _print_facts(result_facts(job))


def _print_facts(found: Iterable[tuple[str, str]]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in found:
        table.add_row(name, escape(value))
    if table.rows:
        print_table(table)


@app.command()
def watch(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Follow one job's steps, losses and time left until it ends; Ctrl-C leaves it running."""
    console = Console(stderr=as_json)
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        try:
            job = watch_job(client, job_id, job_id, console)
        except KeyboardInterrupt:
            typer.echo(f"the job goes on; `mill jobs cancel {job_id}` ends it", err=True)
            raise
    if as_json:
        Console().print_json(data=job)
    else:
        _print_facts(result_facts(job))


@app.command()
def cancel(context: typer.Context, job_id: JobId) -> None:
    """Cancel a job for good; nothing that it has made is published."""
    _control(context, job_id, "cancel")


@app.command()
def pause(context: typer.Context, job_id: JobId) -> None:
    """Pause a job at its next checkpoint; `mill jobs resume` continues from there."""
    _control(context, job_id, "pause")


@app.command()
def resume(context: typer.Context, job_id: JobId) -> None:
    """Resume a paused job, or retry a failed one."""
    _control(context, job_id, "resume")


def _control(
    context: typer.Context, job_id: str, action: Literal["cancel", "pause", "resume"]
) -> None:
    with connect(context.obj) as client:
        job_id = JOB.full_id(client, job_id)
        job: Job = getattr(client.jobs, action)(job_id)
    typer.echo(f"{job_id}: {action} asked for; now {job['status']}")
