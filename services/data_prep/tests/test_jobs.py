"""A job from an uploaded file to a dataset that others can use, through a real child process."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from data_prep_support.children import child_port
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY
from modelmill_data_prep.child import main
from modelmill_jobs.child import ChildFailure, Preempted
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.grpc_client import domain_errors
from prometheus_client import REGISTRY

WORDS = {"user_template": "{q}", "answer_template": "{a}"}

GOOD = [{"q": f"Is {n} a number?", "a": "yes"} for n in range(10)]
PLANTED = {
    3: b"{not json",
    5: b'{"q": "no answer"}',
    6: b'{"q": ["a", "list"], "a": "x"}',
    8: b'{"q": "\xff\xfe", "a": "x"}',
    9: json.dumps({"q": "Ｉｓ ０  a NUMBER？\u200b", "a": "YES"}).encode(),
    12: '{"q": "这是中文吗？", "a": "是"}'.encode(),
}


def counted_rows() -> list[float]:
    outcomes = ("kept", "quarantined", "duplicate")
    values = [REGISTRY.get_sample_value("modelmill_rows_total", {"outcome": o}) for o in outcomes]
    return [value or 0.0 for value in values]


def quarantined(folder: Path) -> list[tuple[int, str]]:
    """Line and reason of each row that was put aside."""
    rows = map(json.loads, (folder / "quarantine.jsonl").read_text().splitlines())
    return [(row["line"], row["reason"]) for row in rows]


async def reported(
    service: Any, created: Any, kind: str, *, tenant: str = "acme", job_id: str | None = None
) -> bytes:
    request = pb.DownloadReportRequest(
        tenant=tenant,
        dataset_id=created.dataset_id,
        format=kind,
        job_id=created.job_id if job_id is None else job_id,
    )
    with domain_errors():
        return b"".join(
            [part.chunk async for part in service.stub.DownloadReport(request, timeout=30)]
        )


@pytest.mark.heavy
async def test_a_file_in_another_encoding_is_read_as_its_preview_says(
    working_data_prep: Any,
) -> None:
    rows = "".join(f"如何重置第{n}个密码;请联系客户服务，{n}\r\n" for n in range(20))
    content = f"q;a\r\n{rows}".encode("gb18030")
    file = await working_data_prep.upload(content, filename="rows.csv")
    reading = {"encoding": "gb18030", "delimiter": ";"}
    request = pb.PreviewDatasetRequest(
        tenant="acme", spec=pb.DatasetSpec(file_id=file.file_id, mapping=WORDS), rows=1
    )

    shown = await working_data_prep.stub.PreviewDataset(request, timeout=30)
    created = await working_data_prep.create(file.file_id)

    assert shown.reading == pb.ReadingSpec(**reading)
    (row,) = map(json.loads, [one.row_json for one in shown.rows])
    assert row["messages"][0]["content"] == "如何重置第0个密码"
    assert row["source"] == sha256(content.split(b"\r\n")[1]).hexdigest()
    assert (await working_data_prep.ended(created.job_id)).status == JOB_STATUS_SUCCEEDED
    ready = await working_data_prep.announced()
    report = json.loads(await reported(working_data_prep, created, "json"))
    assert report["source"] == {"format": "csv", **reading}
    assert (report["failure"], report["counts"]["rows_kept"]) == (None, 20)
    manifest = working_data_prep.store.manifest(ready.digest)
    assert manifest.attributes["spec"]["reading"] == reading


@pytest.mark.heavy
async def test_a_file_with_bad_rows_becomes_a_dataset_and_a_quarantine(
    working_data_prep: Any,
) -> None:
    good = (json.dumps(row).encode() for row in GOOD)
    lines = [PLANTED.get(n) or next(good) for n in range(1, len(GOOD) + len(PLANTED) + 1)]
    file = await working_data_prep.upload(b"\n".join(lines))

    rows_before = counted_rows()
    created = await working_data_prep.create(file.file_id, name="numbers")

    state = await working_data_prep.ended(created.job_id)
    assert state.status == JOB_STATUS_SUCCEEDED
    assert state.result.version_id == created.dataset_id
    ready = await working_data_prep.announced()
    assert (ready.dataset_id, ready.name, ready.tenant) == (created.dataset_id, "numbers", "acme")
    assert (ready.file_id, ready.job_id) == (file.file_id, created.job_id)
    counts = {"rows_in": 16, "rows_kept": 11, "rows_quarantined": 4, "rows_duplicate": 1}
    counts |= {"rows_dropped": 0, "rows_made": 0, "train": 9, "valid": 1, "test": 1}
    assert dict(ready.counts) == dict(state.result.summary) == counts
    assert [now - then for now, then in zip(counted_rows(), rows_before, strict=True)] == [11, 4, 1]

    manifest = working_data_prep.store.manifest(ready.digest)
    assert (manifest.kind, manifest.form) == ("dataset", "chat-jsonl")
    assert manifest.made_from == {"file": file.digest}
    assert manifest.attributes["choices"] == ["yes", "是"]
    assert manifest.attributes["merkle_root"] == ready.merkle_root != ""
    assert manifest.attributes["mapping"] == {"user_template": "{q}", "answer_template": "{a}"}
    folder = working_data_prep.store.materialise(ready.digest)
    assert quarantined(folder) == [
        (3, "not JSON"),
        (5, "missing column 'a'"),
        (6, "column 'q' is neither text nor a number"),
        (8, "not UTF-8, from byte offset 7 of the row"),
    ]
    report = json.loads((folder / "report.json").read_text())
    assert (report["reasons"]["not UTF-8"], report["languages"]) == (1, {"en": 10, "zh": 1})
    assert report["duplicates"] == [{"kept": 1, "dropped": [9], "dropped_count": 1}]
    assert report["tokens"]["total"] == 10 * 6 + 7


async def test_a_file_with_no_valid_row_fails_its_job_and_says_so(working_data_prep: Any) -> None:
    file = await working_data_prep.upload(b"{\n" * 3 + b'{"q": null, "a": 1}\n')

    created = await working_data_prep.create(file.file_id)

    state = await working_data_prep.ended(created.job_id)
    assert state.status == JOB_STATUS_FAILED
    assert state.error.code == "NO_VALID_ROWS"
    assert state.error.message == "none of 4 rows is valid. The most common reason is not JSON"
    assert state.error.remedy
    report = json.loads(await reported(working_data_prep, created, "json"))
    assert report["failure"] == state.error.message
    assert report["counts"]["rows_in"] == report["counts"]["rows_quarantined"] == 4
    assert report["reasons"] == {"not JSON": 3, "column 'q' is neither text nor a number": 1}
    assert [row["line"] for row in report["samples"]["read.not_json"]] == [1, 2, 3]
    assert report["source"] == {"format": "jsonl", "encoding": "utf-8"}
    page = await reported(working_data_prep, created, "html")
    assert b'id="failure"' in page
    assert b"read.not_json" in page
    for tenant, job_id in (("rival", created.job_id), ("acme", ""), ("acme", "job-other")):
        with pytest.raises(NotFoundError):
            await reported(working_data_prep, created, "json", tenant=tenant, job_id=job_id)
    assert await working_data_prep.bus.last(DATASET_READY, DatasetReady) is None


def test_a_child_that_is_told_to_stop_gives_the_job_back(tmp_path: Path) -> None:
    with child_port(tmp_path, b'{"q": 1, "a": 2}') as port:
        port.stop_requested = True
        with pytest.raises(Preempted):
            main(port)


@pytest.mark.heavy
def test_a_child_fails_with_a_reason_and_a_remedy(tmp_path: Path) -> None:
    for name, content, file_format, code in (
        ("texts", b'{"q": 1, "a": 2}', "jsonl", "TOO_FEW_TEXTS"),
        ("rows", b'{"q": 1}', "jsonl", "NO_VALID_ROWS"),
        ("header", b"q,q", "csv", "INVALID_INPUT"),
    ):
        root = tmp_path / name
        root.mkdir()
        with child_port(root, content, file_format) as port, pytest.raises(ChildFailure) as caught:
            main(port)
        assert caught.value.code == code
        assert caught.value.remedy
