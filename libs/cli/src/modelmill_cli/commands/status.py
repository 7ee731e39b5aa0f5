"""`mill status`: services, jobs, workers and streams of this installation, for operators."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from modelmill_cli.capacity_tables import print_capacity
from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.output import AsJson, print_json, when
from modelmill_cli.tables import plain, print_table


def status(
    context: typer.Context,
    with_capacity: Annotated[
        bool,
        typer.Option("--capacity", help="Show instead what each part could take, and takes now."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which services answer, in which version, what waits, and who works on what."""
    with connect_as_operator(context.obj) as client:
        found: Any = client.capacity.retrieve() if with_capacity else client.status.retrieve()
    if as_json:
        print_json(found)
        return
    if with_capacity:
        print_capacity(found)
        return
    _print_services(found, client.url)
    _print_jobs(found)
    streams = Table("stream", "messages", "full")
    for stream in found["streams"]:
        limit = stream["limit_bytes"]
        share = f"{stream['used_bytes'] / limit:.1%}" if limit else ""
        streams.add_row(plain(stream["name"]), f"{stream['messages']:,}", share)
    print_table(streams)
    gateway = Table("requests that wait", "tokens in hand", "of at most")
    most = f"{found['tokens_limit']:,}" if found["tokens_limit"] else "no limit"
    gateway.add_row(f"{found['waiting_requests']:,}", f"{found['tokens_in_hand']:,}", most)
    print_table(gateway)


def _print_services(found: Mapping[str, Any], url: str) -> None:
    services = Table("service", "address", "status", "version")
    services.add_row("gateway", plain(url), "serving", plain(found["version"]))
    for each in found["services"]:
        names = (each["service"], each["address"], each["status"], each["version"] or "")
        services.add_row(*map(plain, names))
    print_table(services)


def _print_jobs(found: Mapping[str, Any]) -> None:
    jobs = Table("jobs", "queued", "running", "longest wait")
    for kind in found["jobs"]:
        counts = kind["counts"]
        waits = f"{kind['oldest_seconds']:.0f} s" if kind["oldest_seconds"] else ""
        row = (kind["kind"], str(counts.get("queued", 0)), str(counts.get("running", 0)), waits)
        jobs.add_row(*map(plain, row))
    if jobs.rows:
        print_table(jobs)
    workers = Table("worker", "works on", "job", "tenant", "since")
    for each in found["workers"]:
        names = (each["worker"], each["kind"], each["job_id"], each["tenant"])
        workers.add_row(*map(plain, names), when(each["since"]))
    if workers.rows:
        print_table(workers)
