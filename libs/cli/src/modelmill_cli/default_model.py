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
    served = _serve(client, version_id, as_json=as_json)
    if not build or served != version_id:
        return
    typer.echo(
        "building a faster form of it. After Ctrl-C the job goes on; then"
        f" `mill models alias {DEFAULT_MODEL} {version_id}` serves what it made",
        err=True,
    )
    try:
        job = client.optimizations.create(model=version_id)
        done = followed(client, str(job["id"]), as_json=as_json)
    except (ApiStatusError, JobFailedError) as refusal:
        typer.echo(f"it is served as it was imported: {refusal}", err=True)
        return
    wait_until_listed(client, "", (done["result"] or {}).get("version_id") or "")
    _serve(client, version_id, as_json=as_json)


def _serve(client: Modelmill, version_id: str, *, as_json: bool) -> str:
    """What the alias got: the newest build that may serve the version, or the version."""
    served: str = client.aliases.set(DEFAULT_MODEL, version_id=version_id)["version_id"]
    typer.echo(f"{DEFAULT_MODEL} -> {served}", err=as_json)
    return served
