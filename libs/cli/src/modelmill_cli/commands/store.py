"""`mill store`: the artifact store, of this machine or at another location."""

from dataclasses import asdict
from typing import Annotated

import typer

from modelmill_cli.output import AsJson, print_done
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import data_size

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
    as_json: AsJson = False,
) -> None:
    """Delete unreferenced contents, also while Modelmill runs."""
    from modelmill_registry.store import open_store

    state: StateFolder = context.obj
    store = open_store(location or str(state.artifacts), state.artifact_cache)
    report = store.sweep(older_than_hours * 3600)
    size = data_size(report.bytes)
    words = f"{report.blobs} contents of {size}, {report.uploads} unfinished uploads"
    print_done(asdict(report), words, as_json=as_json)
