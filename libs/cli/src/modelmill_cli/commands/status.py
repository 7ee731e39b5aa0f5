"""`mill status`: services, jobs and streams of this installation, for operators."""

import typer
from rich.table import Table

from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.tables import plain, print_table


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show which services answer, in which version, and what waits."""
    with connect_as_operator(context.obj) as client:
        found = client.status.retrieve()
    if as_json:
        print_json(found)
        return
    services = Table("service", "address", "status", "version")
    services.add_row("gateway", plain(client.url), "serving", plain(found["version"]))
    for each in found["services"]:
        names = (each["service"], each["address"], each["status"], each["version"] or "")
        services.add_row(*map(plain, names))
    print_table(services)
    jobs = Table("jobs", "queued", "running", "longest wait")
    for kind in found["jobs"]:
        counts = kind["counts"]
        waits = f"{kind['oldest_seconds']:.0f} s" if kind["oldest_seconds"] else ""
        row = (kind["kind"], str(counts.get("queued", 0)), str(counts.get("running", 0)), waits)
        jobs.add_row(*map(plain, row))
    if jobs.rows:
        print_table(jobs)
    streams = Table("stream", "messages", "full")
    for stream in found["streams"]:
        limit = stream["limit_bytes"]
        share = f"{stream['used_bytes'] / limit:.1%}" if limit else ""
        streams.add_row(plain(stream["name"]), f"{stream['messages']:,}", share)
    print_table(streams)
