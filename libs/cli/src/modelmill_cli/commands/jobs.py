"""`mill jobs`: what runs, what ran, how it goes, and what is wished of it."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.gateway_client import Connection, GatewayClient
from modelmill_cli.job_curve import curve_of
from modelmill_cli.job_watch import figures_line, watch_job
from modelmill_cli.job_words import (
    dataset_of,
    error_words,
    facts,
    log_tail,
    model_of,
    name_of,
    seconds_left,
    turn_words,
)
from modelmill_cli.plain_text import plain
from modelmill_cli.tables import print_table

app = typer.Typer(no_args_is_help=True, help="Jobs of every kind.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `mill jobs list` shows it.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="dataset, train, evaluate or optimize.")] = None,
) -> None:
    """List jobs, newest first."""
    with GatewayClient(Connection.find(context.obj)) as client:
        jobs = client.get("/v1/jobs", **({"kind": kind} if kind else {}))["data"]
    table = Table(
        *("job", "kind", "name", "model", "dataset", "status", "phase"), "figures, turn or error"
    )
    for job in jobs:
        progress = job.get("progress") or {}
        said = (name_of(job), model_of(job), dataset_of(job), job["status"])
        table.add_row(
            *(job["id"], job["kind"], *map(plain, said)),
            *(progress.get("phase", ""), escape(_news(job))),
        )
    print_table(table)


def _news(job: dict[str, Any]) -> str:
    """What one wants to know first of a job in a list."""
    progress = job.get("progress") or {}
    last_words = log_tail(job).splitlines()[-1:]
    return (
        turn_words(job)
        or "\n".join(words for words in (error_words(job), *last_words) if words)
        or figures_line(progress.get("metrics") or {}, seconds_left(job))
    )


@app.command()
def show(context: typer.Context, job_id: JobId) -> None:
    """Show one job: who asked, its turn, what it took, its losses, and how it ended."""
    console = Console()
    with GatewayClient(Connection.find(context.obj)) as client:
        job = client.get(f"/v1/jobs/{job_id}")
        curve = curve_of(client, job_id) if job["kind"] == "train" else None
    table = Table(show_header=False, box=None)
    for name, value in facts(job):
        table.add_row(name, escape(value))
    print_table(table)
    if log_tail(job):
        console.print(log_tail(job), markup=False, highlight=False)
    if curve is not None:
        curve.draw(console)
    if job.get("result"):
        console.print_json(data=job["result"])


@app.command()
def watch(context: typer.Context, job_id: JobId) -> None:
    """Follow one job's steps, losses and time left until it ends; Ctrl-C leaves it running."""
    console = Console()
    with GatewayClient(Connection.find(context.obj)) as client:
        try:
            job = watch_job(client, job_id, job_id, console)
        except KeyboardInterrupt:
            typer.echo(f"the job goes on; `mill jobs cancel {job_id}` ends it", err=True)
            raise
    console.print_json(data=job.get("result") or {})


@app.command()
def cancel(context: typer.Context, job_id: JobId) -> None:
    """End a job for good; what it has made so far is not published."""
    _wish(context, job_id, "cancel")


@app.command()
def pause(context: typer.Context, job_id: JobId) -> None:
    """Stop a job at its next checkpoint; `mill jobs resume` goes on from there."""
    _wish(context, job_id, "pause")


@app.command()
def resume(context: typer.Context, job_id: JobId) -> None:
    """Let a paused job go on, or try a failed one again."""
    _wish(context, job_id, "resume")


def _wish(context: typer.Context, job_id: str, wish: str) -> None:
    with GatewayClient(Connection.find(context.obj)) as client:
        job = client.post(f"/v1/jobs/{job_id}/{wish}", {})
    typer.echo(f"{job_id}: {wish} asked for; now {job['status']}")
