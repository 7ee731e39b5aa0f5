"""`mill data`: look into datasets. Why is a row there, or not; what differs; the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from modelmill_client import Modelmill, types
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelmill_cli.gateway import connect
from modelmill_cli.short_ids import DATASET, FILE
from modelmill_cli.tables import megabytes, plain, print_table

SHOWN_CHARACTERS = 200
TAB = "\t"
COUNTED = ("train", "valid", "test")

app = typer.Typer(no_args_is_help=True, help="Manage datasets and their source rows.")

Id = Annotated[str, typer.Argument(help="A dataset, ds-..., or how its id begins.")]


@app.command("list")
def list_datasets(context: typer.Context) -> None:
    """List datasets, newest first."""
    table = Table("dataset", "name", "status", *COUNTED)
    with connect(context.obj) as client:
        for dataset in client.datasets.list():
            counts = dataset["counts"]
            figures = (f"{int(counts[name]):,}" if name in counts else "" for name in COUNTED)
            said = (dataset["id"], plain(dataset["name"] or ""), dataset["status"])
            table.add_row(*said, *figures)
    print_table(table)


@app.command("files")
def list_files(context: typer.Context) -> None:
    """List uploaded files, newest first."""
    table = Table("file", "name", "size", "purpose")
    with connect(context.obj) as client:
        for file in client.files.list():
            size = megabytes(file["bytes"])
            table.add_row(file["id"], plain(file["filename"]), size, plain(file["purpose"]))
    print_table(table)


@app.command()
def explain(
    context: typer.Context,
    dataset: Id,
    row: Annotated[int, typer.Argument(min=1, help="Line of the source file, from 1.")],
    file: Annotated[str, typer.Option(help="File of the line, of a dataset of several.")] = "",
) -> None:
    """Show a row's provenance: kept, changed or dropped, by which rules, and its place now."""
    with connect(context.obj) as client:
        dataset = DATASET.full_id(client, dataset)
        file_id = FILE.full_id(client, file) if file else None
        provenance = client.datasets.row(dataset, row, file_id=file_id)["provenance"]
    for entry in provenance:
        _print_provenance(entry)


@app.command()
def diff(
    context: typer.Context,
    first: Id,
    second: Id,
    samples: Annotated[
        int, typer.Option(min=1, max=100, help="Number of sample rows of each kind.")
    ] = 10,
) -> None:
    """Compare two datasets by the content of their rows."""
    with connect(context.obj) as client:
        first, second = (DATASET.full_id(client, each) for each in (first, second))
        found: Mapping[str, Any] = client.datasets.diff(first, second, samples=samples)
    console = Console(highlight=False)
    if found["same"]:
        console.print("the same rows in the same order")
    table = Table("rows", "", show_header=False, box=None)
    for name in ("common", "moved", "removed", "added"):
        table.add_row(f"{found[f'rows_{name}']:,}", name)
    print_table(table)
    for change in found["spec_changes"]:
        console.print(f"spec: {plain(change)}")
    for sign, name in (("-", "removed"), ("+", "added")):
        for row in found[name]:
            console.print(f"{sign} line {row['row']}: {plain(_said(row))}", soft_wrap=True)


@app.command()
def report(
    context: typer.Context,
    dataset: Id,
    output: Annotated[Path, typer.Option(help="File to write the page to.")] = Path("report.html"),
) -> None:
    """Write a dataset's report as a self-contained HTML page."""
    with connect(context.obj) as client:
        dataset = DATASET.full_id(client, dataset)
        client.datasets.download_report(dataset, output)
    Console(highlight=False).print(escape(str(output)), soft_wrap=True)


@app.command()
def preview(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="An uploaded file, file-..., or one to upload.")],
    user: Annotated[str, typer.Option(help="Template of the user message, with {column}.")] = "",
    answer: Annotated[str, typer.Option(help="Template of the answer.")] = "",
    layout: Annotated[str, typer.Option(help="Name of a known layout, instead of templates.")] = "",
    encoding: Annotated[str, typer.Option(help="Encoding, instead of the detected one.")] = "",
    delimiter: Annotated[
        str, typer.Option(help="Delimiter of a CSV file, instead of the detected one.")
    ] = "",
    text_unit: Annotated[str, typer.Option(help="Row of a plain text: paragraph or line.")] = "",
    sheet: Annotated[str, typer.Option(help="Sheet of a workbook, instead of the first.")] = "",
    rows: Annotated[int, typer.Option(min=1, max=100, help="Number of rows to show.")] = 10,
) -> None:
    """Preview how a file is read, and its first rows as dataset rows."""
    mapping = _mapping(user, answer, layout)
    reading: types.ReadingBody = {
        "encoding": encoding,
        "delimiter": delimiter,
        "text_unit": text_unit,
        "sheet": sheet,
    }
    with connect(context.obj) as client:
        file_id = _uploaded(client, file)
        console = Console(highlight=False)
        if file_id != file:  # said before the look, so that who misspelt a column sends it once
            console.print(f"{'file':<10} {file_id}")
        found = client.datasets.preview(
            file_id=file_id, mapping=mapping, reading=reading, rows=rows
        )
    _print_preview(found, console)


def _mapping(user: str, answer: str, layout: str) -> types.MappingBody:
    """What a row becomes.

    Raises:
        InvalidInputError: nobody has said it.
    """
    if not layout and not (user and answer):
        raise InvalidInputError(
            "say what a row becomes: --user '{question}' --answer '{answer}', with names of the"
            " file's columns, or --layout NAME"
        )
    return {"user_template": user, "answer_template": answer, "layout": layout}


def _print_preview(found: types.DatasetPreview, console: Console) -> None:
    for name, value in {**found["reading"], "columns": ", ".join(found["columns"])}.items():
        console.print(f"{name:<10} {plain('tab' if value == TAB else value)}", soft_wrap=True)
    for row in found["data"]:
        said = _said(row["row"]) if row["row"] else f"({row['reason']})"
        console.print(f"line {row['line']:,}: {plain(said)}", soft_wrap=True)


def _uploaded(client: Modelmill, file: str) -> str:
    """The file's id; one of this machine is uploaded for it.

    Raises:
        InvalidInputError: it is neither an id nor a file of this machine.
        NotFoundError: there is no file of that id.
    """
    if file.startswith("file-") and not Path(file).exists():
        return FILE.full_id(client, file)
    if not Path(file).is_file():
        raise InvalidInputError(
            f"{file} is no id of a file, and there is no such file here. `{FILE.command}` lists"
            " what is uploaded"
        )
    return str(client.files.upload(file)["id"])


def _print_provenance(entry: Mapping[str, Any]) -> None:
    console = Console(highlight=False)
    made = f" (made by {entry['made_by']})" if entry["made_by"] else ""
    where = f" in {entry['split']} at {entry['position']:,}" if entry["split"] else ""
    console.print(f"[bold]line {entry['line']:,}{made}: {entry['outcome']}{where}[/bold]")
    facts = [
        ("file", entry["file_id"]),
        ("source sha256", entry["source_sha256"]),
        ("rule", entry["rule"]),
        ("because", entry["detail"]),
        ("changed by", ", ".join(entry["changes"])),
        ("says", _said(entry["row"]) if entry["row"] else None),
    ]
    for name, fact in facts:
        if fact:
            console.print(f"  {name:<14}{plain(fact)}", soft_wrap=True)


def _said(row: Mapping[str, Any]) -> str:
    turns = [f"{turn['role']}: {turn['content']}" for turn in row["messages"]]
    said = json.dumps(" | ".join(turns), ensure_ascii=False)[1:-1]
    return said if len(said) <= SHOWN_CHARACTERS else said[: SHOWN_CHARACTERS - 1] + "…"
