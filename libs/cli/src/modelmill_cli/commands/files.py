"""`mill files`: uploaded files."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean_file

from modelmill_cli.gateway import connect
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_facts,
    print_list,
    what_stays,
)
from modelmill_cli.short_ids import FILE
from modelmill_cli.tables import data_size

app = typer.Typer(no_args_is_help=True, help="Manage uploaded files.")

Purpose = Literal["fine-tune", "batch", "evals", "user_data"]
FileId = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A file, file-...; how its id begins; or its name."),
]
DAY_SECONDS = 86400
COLUMNS: Columns = {
    "file": lambda file: file["id"],
    "name": lambda file: file["filename"],
    "size": lambda file: data_size(file["bytes"]),
    "purpose": lambda file: file["purpose"],
}


@app.command()
def upload(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files of this machine.")],
    purpose: Annotated[Purpose, typer.Option(help="What the files are for.")] = "fine-tune",
    expires_after_days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Have the files deleted after so many days."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload files; each is named by its id as soon as it is stored."""
    if missing := [path for path in paths if not path.is_file()]:
        raise InvalidInputError([no_such_file(path) for path in missing])
    seconds = None if expires_after_days is None else expires_after_days * DAY_SECONDS
    with connect(context.obj) as client:
        for path in paths:
            stored = client.files.upload(path, purpose=purpose, expires_after_seconds=seconds)
            if as_json:
                print_list([stored], COLUMNS, as_json=True)
            else:
                size = data_size(stored["bytes"])
                print_done(stored, f"{stored['id']}  {stored['filename']}  {size}", as_json=False)


@app.command("list")
def list_files(
    context: typer.Context,
    purpose: Annotated[Purpose | None, typer.Option(help="Filter by purpose.")] = None,
    as_json: AsJson = False,
) -> None:
    """List uploaded files, newest first."""
    with connect(context.obj) as client:
        print_list(client.files.list(purpose=purpose), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, file_id: FileId, as_json: AsJson = False) -> None:
    """Show the record of a file."""
    with connect(context.obj) as client:
        print_facts(client.files.retrieve(FILE.full_id(client, file_id)), as_json=as_json)


@app.command()
def delete(context: typer.Context, file_id: FileId, as_json: AsJson = False) -> None:
    """Delete a file with its content; datasets that were made of it stay, and are named."""
    with connect(context.obj) as client:
        file_id = FILE.full_id(client, file_id)
        made = [each["id"] for each in client.datasets.list() if file_id in each["file_ids"]]
        words = f"{file_id}: deleted{what_stays(made, 'Datasets made of it', 'mill data delete')}"
        print_done(client.files.delete(file_id), words, as_json=as_json)


@app.command()
def download(
    context: typer.Context,
    file_id: FileId,
    output: Annotated[
        Path | None, typer.Option(help="File to write to; by default its own name, here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the content of a file to the disk, whole or not at all."""
    with connect(context.obj) as client:
        file = client.files.retrieve(FILE.full_id(client, file_id))
        target = output or own_name(file["filename"])
        client.files.download(file["id"], target)
    print_done({**file, "path": str(target)}, str(target), as_json=as_json)


def own_name(name: str) -> Path:
    """A file here of this name, which is somebody else's word.

    Raises:
        PreconditionError: there is one, or it is no name of a file.
    """
    target = Path(Path(name).name or "download")
    if target.exists():
        raise PreconditionError(f"{target} is there already. Give --output another name")
    return target


def no_such_file(path: Path) -> str:
    """That there is none, and which one may be meant."""
    return f"{path}: there is no such file.{did_you_mean_file(path)}"


def uploaded(client: Modelmill, file: str, purpose: Purpose = "fine-tune") -> str:
    """The id of a file; one of this machine is uploaded for it.

    Raises:
        InvalidInputError: It is neither an id nor a file of this machine.
        NotFoundError: There is no file of that id.
    """
    path = Path(file)
    if file.startswith("file-") and not path.exists():
        return FILE.full_id(client, file)
    if not path.is_file():
        raise InvalidInputError(
            f"{file} is no id of a file, and there is no such file here.{did_you_mean_file(path)}"
            f" `{FILE.command}` lists what is uploaded"
        )
    return str(client.files.upload(path, purpose=purpose)["id"])
