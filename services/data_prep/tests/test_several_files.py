"""Several files become one dataset: read in order, each row numbered by its file and line."""

import io
import json
from typing import Any

import pyarrow as pa
import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill_data_prep.domain.row_numbers import FILE_STEP, MAX_FILES
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from pyarrow import parquet

ALL_TO_TRAIN = {"train": 1.0, "valid": 0.0, "test": 0.0}


def parquet_of(rows: list[dict[str, str]]) -> bytes:
    table = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), table)
    return table.getvalue()


async def created(service: Any, file_ids: list[str], **spec: Any) -> pb.CreateDatasetResponse:
    return await service.create("", file_ids=file_ids, **spec)


async def explained(
    service: Any, dataset_id: str, line: int, file_id: str = ""
) -> pb.RowProvenance:
    request = pb.ExplainRowRequest(tenant="acme", dataset_id=dataset_id, line=line, file_id=file_id)
    with domain_errors():
        (entry,) = (await service.stub.ExplainRow(request, timeout=30)).provenance
        return entry


@pytest.mark.heavy
async def test_files_of_several_formats_are_read_in_order_and_rows_name_theirs(
    working_data_prep: Any,
) -> None:
    service = working_data_prep
    files = [
        await service.upload([{"q": "first", "a": "1"}, {"q": "second", "a": "2"}]),
        await service.upload("q;a\nthird;größer\nFIRST;1\n".encode("latin-1"), filename="b.csv"),
        await service.upload(parquet_of([{"q": "fourth", "a": "4"}]), filename="c.parquet"),
    ]
    ids = [file.file_id for file in files]
    made = await created(service, ids, shares=ALL_TO_TRAIN)
    state = await service.ended(made.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error

    entries = [await explained(service, made.dataset_id, 1, each) for each in ids[::2]]
    rows = [json.loads(entry.row_json) for entry in entries]
    assert [row["messages"][0]["content"] for row in rows] == ["first", "fourth"]
    assert [row["row"] for row in rows] == [FILE_STEP + 1, 3 * FILE_STEP + 1]
    assert [(entry.file_id, entry.line) for entry in entries] == [(ids[0], 1), (ids[2], 1)]
    by_number = await explained(service, made.dataset_id, 3 * FILE_STEP + 1)
    assert by_number == entries[1]
    gone = await explained(service, made.dataset_id, 3, ids[1])
    assert gone.detail == "same content as line 1 of file 1"

    with pytest.raises(InvalidInputError, match="made of 3 files"):
        await explained(service, made.dataset_id, 1)
    with pytest.raises(InvalidInputError, match="no file of the dataset"):
        await explained(service, made.dataset_id, 1, "file-else")
    with pytest.raises(NotFoundError, match="line 9 of file 2"):
        await explained(service, made.dataset_id, 9, ids[1])


async def test_a_column_that_one_file_lacks_is_named_with_the_file(data_prep: Any) -> None:
    mapping = {"user_template": "{question}", "answer_template": "{a}"}
    whole = await data_prep.upload([{"question": "Hi", "a": "Yo"}])
    other = await data_prep.upload(b"questoin,a\nHi,Yo\n", filename="other.csv")
    with pytest.raises(InvalidInputError) as caught:
        await created(data_prep, [whole.file_id, other.file_id], mapping=mapping)
    assert caught.value.errors == [
        "other.csv: unknown column 'question'. Did you mean 'questoin'?"
        " The file has 'questoin', 'a'"
    ]


async def test_files_are_named_in_one_way_each_once_and_not_too_many(data_prep: Any) -> None:
    file = (await data_prep.upload([{"q": "Hi", "a": "Yo"}])).file_id
    for given, file_ids, said in (
        (file, [file], "either file_id, or file_ids"),
        ("", [], "either file_id, or file_ids"),
        ("", [file, file], "more than once"),
        ("", [f"file-{n}" for n in range(MAX_FILES + 1)], f"at most {MAX_FILES}"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            await data_prep.create(given, file_ids=file_ids)
    with pytest.raises(NotFoundError):
        await created(data_prep, [file, "file-none"])
