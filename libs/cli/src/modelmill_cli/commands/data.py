"""`mill data`: make datasets and look into them. Why is a row there, or not; what differs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from modelmill_client import ApiStatusError, Modelmill, types
from modelmill_hub.address import HubAddress, is_hub_address
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from rich.console import Console

from modelmill_cli.commands.files import uploaded
from modelmill_cli.commands.generate import generate
from modelmill_cli.dataset_comparison import (
    print_dataset_comparison,
    print_unshared_rows,
    some_unshared_rows,
)
from modelmill_cli.gateway import connect
from modelmill_cli.orders import Fields, Priority, Wait, body_of, follow_order
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_facts,
    print_json,
    print_list,
    what_stays,
)
from modelmill_cli.report_head import add_head
from modelmill_cli.row_words import said_of
from modelmill_cli.short_ids import DATASET, NOT_FOUND
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.tables import data_size, plain

RowFormat = Literal["jsonl", "parquet"]
TAB = "\t"

app = typer.Typer(no_args_is_help=True, help="Manage datasets and their source rows.")
app.command()(generate)

Id = Annotated[
    str, typer.Argument(metavar="DATASET", help="A dataset, ds-..., how its id begins, or a name.")
]
File = Annotated[str, typer.Argument(help="An uploaded file, file-..., or one to upload.")]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Uploaded files, file-..., some to upload, or hf://datasets/org/name.",
    ),
]
System = Annotated[str, typer.Option(help="Template of the system message.")]
User = Annotated[str, typer.Option(help="Template of the user message, with {column}.")]
Answer = Annotated[str, typer.Option(help="Template of the answer.")]
Layout = Annotated[str, typer.Option(help="Name of a known layout, instead of templates.")]
Encoding = Annotated[str, typer.Option(help="Encoding, instead of the detected one.")]
Delimiter = Annotated[
    str, typer.Option(help="Delimiter of a CSV file, instead of the detected one.")
]
TextUnit = Annotated[str, typer.Option(help="Row of a plain text: paragraph or line.")]
Sheet = Annotated[str, typer.Option(help="Sheet of a workbook, instead of the first.")]
PassageTokens = Annotated[
    int, typer.Option(min=0, help="Most tokens of a document's passage; 0: 512.")
]
PersonalData = Annotated[
    Literal["mask", "pseudonymise", "drop", "report"] | None,
    typer.Option(help="Action for names, e-mail, phones, ids and all that rules find."),
]
COLUMNS: Columns = {
    "dataset": lambda dataset: dataset["id"],
    "name": lambda dataset: dataset["name"] or "",
    "status": lambda dataset: dataset["status"],
    "train": lambda dataset: _count(dataset, "train"),
    "valid": lambda dataset: _count(dataset, "valid"),
    "test": lambda dataset: _count(dataset, "test"),
}


@app.command()
def create(
    context: typer.Context,
    files: Files,
    name: Annotated[str, typer.Option(help="Name of the dataset.")] = "",
    system: System = "",
    user: User = "",
    answer: Answer = "",
    layout: Layout = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    text_unit: TextUnit = "",
    sheet: Sheet = "",
    passage_tokens: PassageTokens = 0,
    personal_data: PersonalData = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split and of what is made.")] = None,
    priority: Priority = None,
    fields: Fields = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Create a dataset of files; `mill data preview` shows first what rows become."""
    given = {
        "name": name,
        **{f"mapping.{field}": it for field, it in _mapping(system, user, answer, layout).items()},
        "reading": _reading(encoding, delimiter, text_unit, sheet, passage_tokens),
        "entities.actions.*": personal_data,
        "seed": seed,
        "priority": priority,
    }
    with connect(context.obj) as client:
        file_ids = [
            id_ for file in files for id_ in _uploaded(context.obj, client, file, as_json=as_json)
        ]
        of = {"file_ids": file_ids} if len(file_ids) > 1 else {"file_id": file_ids[0]}
        body = body_of({**of, **given}, fields)
        order = client.datasets.create(**body)
        follow_order(client, order, wait=wait, as_json=as_json, dataset_id=order["id"])


@app.command("list")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """List datasets, newest first."""
    with connect(context.obj) as client:
        print_list(client.datasets.list(), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, dataset: Id, as_json: AsJson = False) -> None:
    """Show a dataset: its file, counts of its rows, and models that were trained on it."""
    with connect(context.obj) as client:
        found = client.datasets.retrieve(DATASET.full_id(client, dataset))
        models = [] if as_json else _models_of(client, found["id"])
    counts = (f"{count:,} {name}" for name, count in found["counts"].items())
    words = {"counts": ", ".join(counts), "models trained on it": ", ".join(models) or "none"}
    print_facts(found, words, as_json=as_json)


def _models_of(client: Modelmill, dataset: str) -> list[str]:
    """Versions that were trained on a dataset and their builds, each with its form."""
    models: list[Any] = [*client.models.list()]
    return [
        f"{each['id']} ({each['form']})" if each.get("form") else str(each["id"])
        for each in models
        if each.get("dataset_id") == dataset
    ]


@app.command()
def delete(context: typer.Context, dataset: Id, as_json: AsJson = False) -> None:
    """Delete a dataset with its rows; models that were trained on it stay, and are named."""
    with connect(context.obj) as client:
        dataset = DATASET.full_id(client, dataset)
        made = _models_of(client, dataset)
        words = (
            f"{dataset}: deleted{what_stays(made, 'Models trained on it', 'mill models delete')}"
        )
        print_done(client.datasets.delete(dataset), words, as_json=as_json)


@app.command()
def explain(
    context: typer.Context,
    dataset: Id,
    row: Annotated[int, typer.Argument(min=1, help="Line of the source file, from 1.")],
    file: Annotated[
        str, typer.Option(help="File of the line, of a dataset of several: its name or id.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show a row's provenance: kept, changed or dropped, by which rules, and its place now."""
    with connect(context.obj) as client:
        dataset = DATASET.full_id(client, dataset)
        file_id = _file_of(client, dataset, file) if file else None
        explained = client.datasets.row(dataset, row, file_id=file_id)
    if as_json:
        print_json(explained)
        return
    for entry in explained["provenance"]:
        _print_provenance(entry)


@app.command()
def compare(
    context: typer.Context,
    first: Id,
    second: Id,
    rows: Annotated[
        int, typer.Option(min=0, max=1000, help="Rows to show that one dataset alone has.")
    ] = 5,
    with_all: Annotated[
        bool, typer.Option("--all", help="Show settings that are alike, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two datasets side by side: rows, lengths, labels, what was dropped, and settings."""
    with connect(context.obj) as client:
        first, second = (DATASET.full_id(client, each) for each in (first, second))
        found = client.datasets.compare(first, second)
        unshared = some_unshared_rows(client, first, second, rows)
    if as_json:
        print_json({**found, "rows": unshared})
        return
    print_dataset_comparison(found, with_all=with_all)
    print_unshared_rows(found, unshared)


@app.command()
def report(
    context: typer.Context,
    dataset: Id,
    output: Annotated[Path, typer.Option(help="File to write the page to.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write a dataset's report as a self-contained HTML page."""
    with connect(context.obj) as client:
        dataset = DATASET.full_id(client, dataset)
        client.datasets.download_report(dataset, output)
        add_head(client, dataset, output)
    print_done({"id": dataset, "path": str(output)}, str(output), as_json=as_json)


@app.command()
def export(
    context: typer.Context,
    dataset: Id,
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    row_format: Annotated[
        RowFormat, typer.Option("--format", help="Form of the files: jsonl or parquet.")
    ] = "jsonl",
    as_json: AsJson = False,
) -> None:
    """Export the cleaned rows as a file for each split, with their provenance.

    Works on the machine that has the artifacts.
    """
    from modelmill_registry.store import open_store

    from modelmill_cli.data_export import export_dataset

    state: StateFolder = context.obj
    with connect(state) as client:
        found = client.datasets.retrieve(DATASET.full_id(client, dataset))
    if found["digest"] is None:
        raise PreconditionError(
            f"dataset {found['id']} is {found['status']} and has no rows yet."
            f" `mill jobs watch {found['job_id']}` waits for them"
        )
    store = open_store(state.read_runtime().artifact_root, state.artifact_cache)
    export_dataset(store, found["digest"], folder, as_parquet=row_format == "parquet")
    size = sum(file.stat().st_size for file in folder.iterdir())
    done = {"id": found["id"], "path": str(folder), "bytes": size}
    print_done(done, f"{folder}  {data_size(size)}", as_json=as_json)


@app.command()
def preview(
    context: typer.Context,
    file: File,
    system: System = "",
    user: User = "",
    answer: Answer = "",
    layout: Layout = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    text_unit: TextUnit = "",
    sheet: Sheet = "",
    passage_tokens: PassageTokens = 0,
    rows: Annotated[int, typer.Option(min=1, max=100, help="Number of rows to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Preview how a file is read, and its first rows as dataset rows; proposes a mapping."""
    is_said = bool(system or user or answer or layout)
    mapping = _mapping(system, user, answer, layout) if is_said else None
    reading = _reading(encoding, delimiter, text_unit, sheet, passage_tokens)
    console = Console(highlight=False, stderr=as_json)
    with connect(context.obj) as client:
        file_id = _uploaded_once(client, file)
        if file_id != file:  # said before the look, so that who misspelt a column sends it once
            console.print(f"{'file':<10} {file_id}")
        found = client.datasets.preview(
            file_id=file_id, mapping=mapping, reading=reading, rows=rows
        )
    if as_json:
        print_json({"file_id": file_id, **found})
    else:
        proposed = {} if is_said else {k: v for k, v in found["mapping"].items() if v}
        _print_preview(found, proposed, console)


def _uploaded(state: StateFolder, client: Modelmill, file: str, *, as_json: bool) -> list[str]:
    """Ids of a file, or of the tables of a dataset on a hub; none is sent twice."""
    if not is_hub_address(file):
        return [_uploaded_once(client, file)]
    # The client of a hub takes long to load.
    from modelmill_recipes.orders import stored_files

    from modelmill_cli.hub_downloads import HubDownloads

    downloads = HubDownloads(state, Console(stderr=as_json, highlight=False))
    fetched = downloads.tables(HubAddress.parse(file))
    return [
        known or str(client.files.upload(table)["id"])
        for table, known in stored_files(client, fetched.files).items()
    ]


def _file_of(client: Modelmill, dataset: str, given: str) -> str:
    """Id of a dataset's file by its name or how its id begins; deleted files have ids alone.

    Raises:
        InvalidInputError: no file of the dataset is called so, or several are.
    """
    names: dict[str, str] = {}
    for file_id in client.datasets.retrieve(dataset)["file_ids"]:
        try:
            names[file_id] = str(client.files.retrieve(file_id)["filename"])
        except ApiStatusError as error:
            if error.status != NOT_FOUND:
                raise
            names[file_id] = "deleted"
    found = [id_ for id_, name in names.items() if id_.startswith(given) or name == given]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{id_} ({name})" for id_, name in names.items())
    how_many = "several files" if found else "no file"
    raise InvalidInputError(f"{dataset} has {how_many} {given[:80]!r}. It is made of {known}")


def _uploaded_once(client: Modelmill, file: str) -> str:
    """Id of a file; one of this machine is uploaded unless it is stored by its name and content.

    A copy for each command would be one more to find when somebody's rows are to be deleted.
    """
    path = Path(file)
    if not path.is_file():
        return uploaded(client, file)
    from modelmill_recipes.orders import stored_files

    return stored_files(client, [path], same_name=True)[path] or uploaded(client, file)


def _count(dataset: Mapping[str, Any], name: str) -> str:
    counts = dataset["counts"]
    return f"{int(counts[name]):,}" if name in counts else ""


def _mapping(system: str, user: str, answer: str, layout: str) -> types.MappingBody:
    """What a row becomes.

    Raises:
        InvalidInputError: nobody has said it.
    """
    if not layout and not (user and answer):
        raise InvalidInputError(
            "say what a row becomes: --user '{question}' --answer '{answer}', with names of the"
            " file's columns, or --layout NAME. `mill data preview FILE` proposes it"
        )
    return {
        "system_template": system,
        "user_template": user,
        "answer_template": answer,
        "layout": layout,
    }


def _reading(
    encoding: str, delimiter: str, text_unit: str, sheet: str, passage_tokens: int
) -> types.ReadingBody:
    """How a file is read; what is empty is detected."""
    said = {
        "encoding": encoding,
        "delimiter": delimiter,
        "text_unit": text_unit,
        "sheet": sheet,
        "passage_tokens": passage_tokens,
    }
    return cast(types.ReadingBody, {name: value for name, value in said.items() if value})


def _print_preview(
    found: types.DatasetPreview, proposed: Mapping[str, object], console: Console
) -> None:
    facts = {**found["reading"], "columns": ", ".join(found["columns"])}
    facts |= {f"proposed {name}": str(value) for name, value in proposed.items()}
    for name, value in facts.items():
        console.print(f"{name:<10} {plain('tab' if value == TAB else value)}", soft_wrap=True)
    for row in found["data"]:
        said = said_of(row["row"]) if row["row"] else f"({row['reason']})"
        place = _place((row["row"] or {}).get("document"))
        console.print(f"line {row['line']:,}{place}: {plain(said)}", soft_wrap=True)


def _place(document: Mapping[str, Any] | None) -> str:
    """Where a passage stands in its document."""
    if not document:
        return ""
    page = [f"page {document['page']}"] if document["page"] else []
    section = [document["section"]] if document["section"] else []
    where = f"character {document['offset']:,}"
    return f" ({plain(', '.join([*page, *section, where]))})"


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
        ("says", said_of(entry["row"]) if entry["row"] else None),
    ]
    for name, fact in facts:
        if fact:
            console.print(f"  {name:<14}{plain(fact)}", soft_wrap=True)
