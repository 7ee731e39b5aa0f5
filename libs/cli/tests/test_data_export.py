"""`mill data export`: the rows of a dataset as files that others read."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from modelmill_cli.data_export import export_dataset
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import PreconditionError

ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": text}], "row": row, "changes": ["unicode@1"]}
    for row, text in enumerate(["茶", *("x" * 3_000_000,) * 3, "tea"], start=1)
]
ROWS[-1]["rejected"] = "coffee"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "artifacts")


def stored(store: FolderStore, folder: Path, rows: list[dict[str, Any]]) -> str:
    """The digest of a dataset that has these rows to train on."""
    folder.mkdir()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    for split in ("valid", "test", "quarantine"):
        (folder / f"{split}.jsonl").write_text("")
    return store.commit(folder, kind="dataset", form="chat-jsonl").digest


@pytest.fixture
def digest(store: FolderStore, tmp_path: Path) -> str:
    return stored(store, tmp_path / "dataset", ROWS)


def test_lines_are_those_of_the_dataset(store: FolderStore, digest: str, tmp_path: Path) -> None:
    export_dataset(store, digest, target := tmp_path / "out", as_parquet=False)

    lines = (target / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert sorted(file.name for file in target.iterdir()) == [
        *("test.jsonl", "train.jsonl", "valid.jsonl")
    ]
    (target / "train.jsonl").write_text("whoever has it may change it")


def test_parquet_has_the_same_rows(store: FolderStore, digest: str, tmp_path: Path) -> None:
    export_dataset(store, digest, target := tmp_path / "out", as_parquet=True)

    rows = [{"rejected": None} | row for row in ROWS]
    assert pyarrow.parquet.read_table(target / "train.parquet").to_pylist() == rows
    assert pyarrow.parquet.read_table(target / "test.parquet").num_rows == 0


def test_a_folder_that_is_there_stays_as_it_is(
    store: FolderStore, digest: str, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(PreconditionError, match="is there already"):
        export_dataset(store, digest, tmp_path / "out", as_parquet=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_rows_that_fit_into_no_table_are_said_and_nothing_is_left(
    store: FolderStore, tmp_path: Path
) -> None:
    digest = stored(store, tmp_path / "mixed", [{"tools": 1}, {"tools": "a"}])

    with pytest.raises(PreconditionError, match=r"train\.jsonl do not fit .*Export jsonl"):
        export_dataset(store, digest, tmp_path / "out", as_parquet=True)
    assert {each.name for each in tmp_path.iterdir()} == {"artifacts", "mixed"}
