"""A job from an uploaded file to a dataset that others can use, through a real child process."""

import json
from pathlib import Path
from typing import Any

import pytest
from data_prep.child import main
from data_prep_support.children import child_port
from jobs.child import ChildFailure, Preempted
from jobs.subjects import DATASET_READY
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from prometheus_client import REGISTRY

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
    stored = await working_data_prep.bus.last(DATASET_READY, DatasetReady)
    ready = stored.body
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
        (8, "not UTF-8"),
    ]
    report = json.loads((folder / "report.json").read_text())
    assert report["languages"] == {"en": 10, "zh": 1}
    assert report["duplicates"] == [{"kept": 1, "dropped": [9], "dropped_count": 1}]
    assert report["tokens"]["total"] == 10 * 6 + 7


async def test_a_file_with_no_valid_row_fails_its_job_and_says_so(working_data_prep: Any) -> None:
    file = await working_data_prep.upload(b"{\n" * 3 + b'{"q": null, "a": 1}\n')

    created = await working_data_prep.create(file.file_id)

    state = await working_data_prep.ended(created.job_id)
    assert state.status == JOB_STATUS_FAILED
    assert state.error.code == "NO_VALID_ROWS"
    assert state.error.message == "none of 4 rows is valid; the most common reason: not JSON"
    assert state.error.remedy
    assert await working_data_prep.bus.last(DATASET_READY, DatasetReady) is None


def test_a_child_that_is_told_to_stop_gives_the_job_back(tmp_path: Path) -> None:
    with child_port(tmp_path, b'{"q": 1, "a": 2}') as port:
        port.stop_requested = True
        with pytest.raises(Preempted):
            main(port)


@pytest.mark.heavy
def test_a_child_names_what_the_person_can_mend(tmp_path: Path) -> None:
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
