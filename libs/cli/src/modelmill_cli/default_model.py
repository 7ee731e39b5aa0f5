"""The default model: what requests that name no model are answered by."""

import typer
from modelmill_client import ApiStatusError, JobFailedError, Modelmill

from modelmill_cli.gateway import DEFAULT_MODEL
from modelmill_cli.orders import followed, wait_until_listed


def make_default(client: Modelmill, version_id: str, *, build: bool, as_json: bool) -> None:
    """Make a version the default, at once; then build it, and serve the build in its place.

    A version that cannot be built, or whose build does not pass its checks, stays the default as it
    is, and stderr says why.
    """
    _serve(client, version_id, as_json=as_json)
    if not build or any(
        model.get("parent_version_id") == version_id for model in client.models.list()
    ):
        return
    try:
        job = client.optimizations.create(model=version_id)
        typer.echo("building a faster form of it; Ctrl-C leaves the job to itself", err=True)
        done = followed(client, str(job["id"]), as_json=as_json)
    except (ApiStatusError, JobFailedError) as refusal:
        typer.echo(f"it is served as it was imported: {refusal}", err=True)
        return
    wait_until_listed(client, "", (done["result"] or {}).get("version_id") or "")
    _serve(client, version_id, as_json=as_json)


def _serve(client: Modelmill, version_id: str, *, as_json: bool) -> None:
    """The alias gets the newest build that may serve the version, or the version."""
    served = client.aliases.set(DEFAULT_MODEL, version_id=version_id)["version_id"]
    typer.echo(f"{DEFAULT_MODEL} -> {served}", err=as_json)
