"""`mill store`: the artifact store, of this machine or at another location."""

from typing import Annotated

import typer
from modelmill_registry.store import open_store

from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import megabytes

app = typer.Typer(no_args_is_help=True, help="Maintain the artifact store.")


@app.command()
def sweep(
    context: typer.Context,
    location: Annotated[
        str,
        typer.Argument(help="Folder or s3://bucket/prefix; defaults to this machine's store."),
    ] = "",
    older_than_hours: Annotated[
        float, typer.Option(min=2, help="Minimum age in hours; longer than any commit takes.")
    ] = 24.0,
) -> None:
    """Delete unreferenced contents, also while Modelmill runs."""
    state: StateFolder = context.obj
    store = open_store(location or str(state.artifacts), state.artifact_cache)
    report = store.sweep(older_than_hours * 3600)
    typer.echo(
        f"{report.blobs} contents of {megabytes(report.bytes)}, {report.uploads} unfinished uploads"
    )
