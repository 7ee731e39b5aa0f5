"""What a spec would make of a file's first rows, each row with its fate."""

import gzip
import hashlib
import io
import json
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from pyarrow import parquet

WORDS = {"user_template": "{q}", "answer_template": "{a}"}


async def preview(
    data_prep: Any, file_id: str, *, rows: int = 0, tenant: str = "acme", **spec: Any
) -> pb.PreviewDatasetResponse:
    request = pb.PreviewDatasetRequest(
        tenant=tenant,
        spec=pb.DatasetSpec(file_id=file_id, **({"mapping": WORDS} | spec)),
        rows=rows,
    )
    with domain_errors():
        response: pb.PreviewDatasetResponse = await data_prep.stub.PreviewDataset(
            request, timeout=60
        )
    return response


async def test_each_of_the_first_rows_is_shown_kept_or_with_its_reason(data_prep: Any) -> None:
    content = b'{"q": "Hi", "a": 1}\n\n{oops\n{"q": "x", "b": 1}\n' + b'{"q": "y", "a": "z"}\n' * 9
    file = await data_prep.upload(content)

    shown = await preview(data_prep, file.file_id, rows=4)

    assert list(shown.columns) == ["q", "a", "b"]
    assert [(row.line, row.reason) for row in shown.rows] == [
        (1, ""),
        (3, "read.not_json: not JSON"),
        (4, "map.missing_column: missing column 'a'"),
        (5, ""),
    ]
    assert json.loads(shown.rows[0].row_json) == {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "1"}],
        "row": 1,
        "source": hashlib.sha256(content.split(b"\n")[0]).hexdigest(),
        "changes": [],
    }
    assert not shown.rows[1].row_json
    assert len((await preview(data_prep, file.file_id)).rows) == 10
    assert len((await preview(data_prep, file.file_id, rows=100)).rows) == 12


def workbook(rows: list[list[str]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


async def test_a_spec_that_says_how_to_read_a_file_is_followed_or_refused(data_prep: Any) -> None:
    text = await data_prep.upload(b"One\nTwo\n", filename="rows.txt")
    book = await data_prep.upload(workbook([["text"], ["Hi"]]), filename="rows.xlsx")
    layout = {"mapping": {"layout": "text"}}

    lines = await preview(data_prep, text.file_id, reading={"text_unit": "line"}, **layout)
    sheet = await preview(data_prep, book.file_id, **layout)

    assert len(lines.rows) == 2
    assert lines.reading == pb.ReadingSpec(encoding="utf-8", text_unit="line")
    assert sheet.reading == pb.ReadingSpec(sheet="Sheet")
    with pytest.raises(InvalidInputError, match="no sheet 'Second', but 'Sheet'"):
        await preview(data_prep, book.file_id, reading={"sheet": "Second"}, **layout)
    with pytest.raises(InvalidInputError, match="encoding must be one of 'utf-8'"):
        await preview(data_prep, text.file_id, reading={"encoding": "ebcdic"}, **layout)


async def test_files_of_every_format_are_previewed_alike(data_prep: Any) -> None:
    jsonl = b'{"q": "Hi", "a": "Yo"}\n'
    table = io.BytesIO()
    parquet.write_table(pa.table({"q": ["Hi"], "a": ["Yo"]}), table)
    for content, filename in (
        (jsonl, "rows.ndjson"),
        (gzip.compress(jsonl), "rows.jsonl.gz"),
        (pa.compress(jsonl, "zstd", asbytes=True), "rows.JSONL.zst"),
        (b"q,a\nHi,Yo\n", "rows.csv"),
        (table.getvalue(), "rows.parquet"),
        (jsonl.decode().encode("utf-16"), "rows.jsonl"),
        (gzip.compress(jsonl.decode().encode("utf-16-be")), "rows.jsonl.gz"),
        (b"q\ta\nHi\tYo\n", "rows.tsv"),
        (workbook([["q", "a"], ["Hi", "Yo"]]), "rows.xlsx"),
    ):
        file = await data_prep.upload(content, filename=filename)
        (row,) = (await preview(data_prep, file.file_id)).rows
        assert [turn["content"] for turn in json.loads(row.row_json)["messages"]] == ["Hi", "Yo"]


async def test_a_preview_is_refused_as_the_job_would_be(data_prep: Any) -> None:
    file = await data_prep.upload([{"q": "1", "a": "2"}])

    with pytest.raises(InvalidInputError, match="at most 100"):
        await preview(data_prep, file.file_id, rows=101)
    with pytest.raises(InvalidInputError, match="unknown column 'messages'"):
        await preview(data_prep, file.file_id, mapping={"layout": "openai_chat"})
    with pytest.raises(InvalidInputError) as caught:
        await preview(data_prep, file.file_id, name="x" * 101, mapping={"layout": "songs"})
    assert len(caught.value.errors) == 2
    asking = {"order": "staged", "weights": {"loss": 1.0}, "loss_model": "m"}
    with pytest.raises(InvalidInputError, match="Set DATA_PREP_INFERENCE_ADDRESS"):
        await preview(data_prep, file.file_id, curriculum=asking)
    with pytest.raises(NotFoundError):
        await preview(data_prep, file.file_id, tenant="rival")
