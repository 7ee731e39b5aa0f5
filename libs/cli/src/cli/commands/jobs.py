"""`mill jobs`: what runs, what ran, and how it goes."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.gateway_client import Connection, GatewayClient
from cli.job_watch import figures_line, watch_job

app = typer.Typer(no_args_is_help=True, help="Jobs of every kind.")


@app.command("list")
def list_jobs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="dataset, train or optimize.")] = None,
) -> None:
    """List jobs, newest first."""
    with GatewayClient(Connection.find(context.obj)) as client:
        jobs = client.get("/v1/jobs", **({"kind": kind} if kind else {}))["data"]
    table = Table("job", "kind", "status", "phase", "figures")
    for job in jobs:
        progress = job.get("progress") or {}
        table.add_row(
            job["id"],
            job["kind"],
            job["status"],
            progress.get("phase", ""),
            figures_line(progress),
        )
    Console().print(table)


@app.command()
def watch(context: typer.Context, job_id: str) -> None:
    """Follow one job with a progress bar until it ends."""
    console = Console()
    with GatewayClient(Connection.find(context.obj)) as client:
        job = watch_job(client, job_id, job_id[:14], console)
    console.print_json(data=job.get("result") or {})
