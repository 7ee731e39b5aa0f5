"""Documents as sources: passages are rows that name their place, and a bad one costs itself."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from data_prep_support.preparing import Dataset
from documents_support.written import BODY, TITLE, docx_of, encrypted_pdf, pdf_of
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED
from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileFormat
from modelmill_data_prep.domain.reading.source_files import SourceFile, SourceFiles
from modelmill_data_prep.domain.row_numbers import FILE_STEP
from modelmill_data_prep.prepare_dataset import PrepareDataset
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.grpc_client import domain_errors

pytestmark = pytest.mark.tier("test")
TEXT = {"mapping": {"layout": "text"}}
ALL_TO_TRAIN = {"train": 1.0, "valid": 0.0, "test": 0.0}
BOOK = pdf_of([[(TITLE, "Rules"), (BODY, ""), (BODY, "First.")], [(BODY, "Second page.")]])


def prepared(documents: dict[str, bytes], **spec: Any) -> Dataset:
    """A dataset of documents in this process."""
    request = {"spec": TEXT | {"shares": ALL_TO_TRAIN} | spec, "pseudonym_key": "00" * 32}
    request["tokens"] = None
    plan = plan_dataset(request["spec"])
    limits = ReadLimits()
    with TemporaryDirectory() as root, LocalPool(request, 1) as pool:
        files = []
        for name, content in documents.items():
            (Path(root) / name).write_bytes(content)
            file_format = cast(FileFormat, {"md": "markdown"}.get(name.split(".")[1], name[2:]))
            files.append(SourceFile(Path(root) / name, file_format, plan.reading, name))
        work = PrepareDataset(pool, lambda *_: None, limits)
        folder = Path(root) / "dataset"
        return Dataset(work(SourceFiles(files), [], plan, folder), folder)


def test_each_passage_is_a_row_that_names_its_file_page_section_and_offset() -> None:
    reading = {"passage_characters": 64}
    dataset = prepared({"a.pdf": BOOK, "b.md": b"# Top\n\n" + b"One more sentence. " * 5},
                       reading=reading)  # fmt: skip

    documents = [row["document"] for row in dataset.splits["train"]]
    assert documents == [
        {"file": "a.pdf", "page": 1, "section": "Rules", "offset": 0},
        {"file": "b.md", "page": None, "section": "Top", "offset": 0},
        {"file": "b.md", "page": None, "section": "Top", "offset": 62},
    ]
    assert [row["row"] for row in dataset.splits["train"]] == [
        FILE_STEP + 1,
        2 * FILE_STEP + 1,
        2 * FILE_STEP + 2,
    ]
    said = [row["messages"][0]["content"] for row in dataset.splits["train"]]
    assert said[0] == "Rules\n\nFirst.\n\nSecond page."
    assert dataset.report["source"]["files"][0] == {
        "name": "a.pdf",
        "format": "pdf",
        "passage_characters": 64,
    }


def test_of_many_documents_the_good_are_kept_and_the_bad_are_named_with_their_reason() -> None:
    dataset = prepared(
        {"a.pdf": encrypted_pdf(), "b.docx": docx_of(("Good text.", 0)), "c.docx": b"none"}
    )

    assert [row["document"]["file"] for row in dataset.splits["train"]] == ["b.docx"]
    assert [(row["line"], row["reason"], row["raw"]) for row in dataset.quarantine] == [
        (
            FILE_STEP + 1,
            "the PDF is encrypted. Save it without a password",
            "a.pdf",
        ),
        (
            3 * FILE_STEP + 1,
            "the file is no Word document (.docx), or a damaged one. Save it again with Word",
            "c.docx",
        ),
    ]


def test_templates_read_the_place_of_a_passage() -> None:
    mapping = {"user_template": "{file}, {section}", "answer_template": "{text}"}
    dataset = prepared({"a.md": b"# Top\n\nText."}, mapping=mapping)
    (row,) = dataset.splits["train"]
    assert row["messages"][0]["content"] == "a.md, Top"


async def preview(data_prep: Any, file_id: str, **spec: Any) -> pb.PreviewDatasetResponse:
    request = pb.PreviewDatasetRequest(
        tenant="acme", spec=pb.DatasetSpec(file_id=file_id, **TEXT, **spec)
    )
    with domain_errors():
        response: pb.PreviewDatasetResponse = await data_prep.stub.PreviewDataset(
            request, timeout=60
        )
    return response


async def test_a_preview_shows_passages_with_their_places_or_why_there_are_none(
    data_prep: Any,
) -> None:
    good = await data_prep.upload(BOOK, filename="book.pdf")
    bad = await data_prep.upload(encrypted_pdf(), filename="locked.pdf")

    shown = await preview(data_prep, good.file_id, reading={"passage_tokens": 100})
    (row,) = shown.rows
    document = json.loads(row.row_json)["document"]
    assert document == {"file": "book.pdf", "page": 1, "section": "Rules", "offset": 0}
    assert shown.reading == pb.ReadingSpec(passage_tokens=100)
    (refused,) = (await preview(data_prep, bad.file_id)).rows
    assert refused.reason == (
        "read.document_encrypted: the PDF is encrypted. Save it without a password"
    )


async def test_the_size_of_passages_and_the_columns_are_checked_before_a_job_is_queued(
    data_prep: Any,
) -> None:
    file = await data_prep.upload(BOOK, filename="book.pdf")
    for spec, said in (
        ({"reading": {"passage_tokens": 3}}, "passage_tokens must be 16 to 65536, got 3"),
        (
            {"reading": {"passage_tokens": 20, "passage_characters": 100}},
            "either passage_tokens or passage_characters",
        ),
        (
            {"mapping": {"user_template": "{page}", "answer_template": "{texts}"}},
            "unknown column 'texts'. Did you mean 'text'",
        ),
    ):
        with pytest.raises(InvalidInputError, match=said):
            await data_prep.create(file.file_id, **(TEXT | spec))


@pytest.mark.heavy
async def test_a_job_makes_a_dataset_of_documents_and_fails_by_name_where_none_is_good(
    working_data_prep: Any,
) -> None:
    service = working_data_prep
    good = await service.upload(BOOK, filename="book.pdf")
    bad = await service.upload(encrypted_pdf(), filename="locked.pdf")

    both = await service.create(
        "", file_ids=[good.file_id, bad.file_id], shares=ALL_TO_TRAIN, **TEXT
    )
    none = await service.create(bad.file_id, shares=ALL_TO_TRAIN, **TEXT)

    state = await service.ended(both.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    failed = await service.ended(none.job_id)
    assert failed.status == JOB_STATUS_FAILED
    assert failed.error.code == "NO_VALID_ROWS"
    assert "the PDF is encrypted" in failed.error.message
