"""Head of a dataset's report: which dataset it is of, of which files, made when and by what.

The page in the artifact says nothing of this, so that equal rows give equal artifacts.
"""

from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from modelmill_client import ApiStatusError, Modelmill

from modelmill_cli.output import when

TITLE = "</h1>"


def add_head(client: Modelmill, dataset_id: str, page: Path) -> None:
    """Write the head below the title. What the gateway does not tell is left out: the page is there
    without.
    """
    dataset: dict[str, Any] = {"id": dataset_id}
    with suppress(ApiStatusError):
        dataset |= client.datasets.retrieve(dataset_id)
        dataset |= {"owner": client.me.retrieve()["tenant"]}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n"
        for name, value in _facts(client, dataset)
        if value
    )
    head = f'{TITLE}\n<table id="facts">\n{rows}</table>'
    page.write_text(page.read_text("utf-8").replace(TITLE, head, 1), "utf-8")


def _facts(client: Modelmill, dataset: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "dataset", str(dataset["id"])
    yield "owner", str(dataset.get("owner") or "")
    yield "content", str(dataset.get("digest") or "")
    yield "made", when(dataset["created_at"]) if dataset.get("created_at") else ""
    yield "job", str(dataset.get("job_id") or "")
    for number, file_id in enumerate(dataset.get("file_ids", ()), 1):
        yield f"file {number}", _file(client, str(file_id))


def _file(client: Modelmill, file_id: str) -> str:
    try:
        file = client.files.retrieve(file_id)
    except ApiStatusError:
        return f"{file_id}, which was deleted"
    return f"{file['filename']} ({file_id}, sha256:{file['sha256']}, {file['bytes']:,} bytes)"
