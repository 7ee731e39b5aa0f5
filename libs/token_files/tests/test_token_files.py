"""What is written is read, row for row, and what is not ours is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_token_files.token_file import TokenFile, TrainingOrder, read_packs
from modelmill_token_files.token_folder import TokenFolder
from modelmill_token_files.tokenizer_digest import files_of, reads_alike, tokenizer_digest
from modelmill_token_files.tokens_plan import (
    ORDER_FILE,
    TOKEN_ROWS,
    TOKENS_FOLDER,
    SplitCounts,
    TokenFilesError,
    TokensPlan,
)

PLAN = TokensPlan(model="mv-1", tokenizer="sha256:1", max_tokens=64, pack_tokens=128)
IDS = st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=9)
ROWS = st.lists(st.tuples(IDS, st.integers(1, 10**12), st.none() | IDS), max_size=12)
Row = tuple[list[int], int, list[int] | None]


def batch(rows: list[Row]) -> pa.RecordBatch:
    """Rows that are learned from their second id on."""
    columns: list[Any] = [
        [ids for ids, _, _ in rows],
        [[1] for _ in rows],
        [[len(ids)] for ids, _, _ in rows],
        [number for _, number, _ in rows],
        [rejected for _, _, rejected in rows],
    ]
    arrays = [
        pa.array(column, field.type) for column, field in zip(columns, TOKEN_ROWS, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=TOKEN_ROWS)


def write(dataset: Path, blocks: list[list[Row]]) -> TokensPlan:
    with TokenFolder(dataset) as folder:
        for block in blocks:
            folder.append("train", batch(block))
        lengths = [len(ids) for block in blocks for ids, _, _ in block]
        assert folder.lengths("train").tolist() == lengths
        return folder.finish(PLAN, [[1, 0], [2]])


@given(st.lists(ROWS, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rows_are_read_as_they_were_written_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[Row]]
) -> None:
    dataset = tmp_path_factory.mktemp("dataset")
    rows = [row for block in blocks for row in block]

    plan = write(dataset, blocks)
    file = TokenFile(dataset, "train")

    assert len(file) == len(rows)
    for place, (ids, number, rejected) in enumerate(rows):
        read = file[place]
        assert read.ids.tolist() == ids
        assert (read.loss_from.tolist(), read.loss_to.tolist()) == ([1], [len(ids)])
        assert read.row == number
        worse = read.rejected_ids
        assert (None if worse is None else worse.tolist()) == rejected
    assert file.lengths().tolist() == [len(ids) for ids, _, _ in rows]
    assert file.row_numbers().tolist() == [number for _, number, _ in rows]
    assert TokensPlan.read(dataset) == plan
    if rows:
        lengths = [len(ids) for ids, _, _ in rows]
        assert plan.splits["train"] == SplitCounts(
            len(rows), sum(lengths), sum(lengths) - len(rows), max(lengths)
        )


def test_a_row_lies_in_the_file_and_not_in_memory(tmp_path: Path) -> None:
    write(tmp_path, [[(list(range(100_000)), 1, None)] * 3])
    before = pa.total_allocated_bytes()

    file = TokenFile(tmp_path, "train")
    row = file[1]

    assert not row.ids.flags.owndata
    assert not row.ids.flags.writeable
    assert pa.total_allocated_bytes() - before < 1_000


def test_a_place_that_is_no_row_is_an_index_error(tmp_path: Path) -> None:
    write(tmp_path, [[([5, 6], 1, None)]])
    file = TokenFile(tmp_path, "train")

    for place in (-1, 1):
        with pytest.raises(IndexError):
            file[place]


def test_a_split_without_rows_needs_no_file(tmp_path: Path) -> None:
    write(tmp_path, [[([5, 6], 1, None)]])

    assert len(TokenFile(tmp_path, "test")) == 0
    assert TokenFile(tmp_path, "test").lengths().tolist() == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    blocks: list[list[Row]] = [[([5, 6, 7], 1, None)], [([8, 9], 2, [3])]]
    for name in ("one", "two"):
        write(tmp_path / name, blocks)

    for file in ("train.arrow", "packs.arrow", "plan.json"):
        one, two = (tmp_path / name / TOKENS_FOLDER / file for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_packs_are_read_as_they_were_written(tmp_path: Path) -> None:
    plan = write(tmp_path, [[([5, 6], 1, None)] * 3])

    assert [pack.tolist() for pack in read_packs(tmp_path)] == [[1, 0], [2]]
    assert plan.packs == 2


def test_files_that_were_not_finished_have_no_plan(tmp_path: Path) -> None:
    with TokenFolder(tmp_path) as folder:
        folder.append("train", batch([([5, 6], 1, None)]))

    assert TokensPlan.read(tmp_path) is None


def test_a_plan_of_another_format_is_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, [[([5, 6], 1, None)]])
    path = tmp_path / TOKENS_FOLDER / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))

    assert TokensPlan.read(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 1, "splits": {}, "more": 1}'])
def test_a_plan_that_is_broken_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / TOKENS_FOLDER).mkdir()
    (tmp_path / TOKENS_FOLDER / "plan.json").write_text(content)

    with pytest.raises(TokenFilesError):
        TokensPlan.read(tmp_path)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [[([5, 6], 1, None)]])
    path = tmp_path / TOKENS_FOLDER / "train.arrow"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(TokenFilesError, match=r"train\.arrow"):
        TokenFile(tmp_path, "train")


def test_a_file_with_a_damaged_batch_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [[([5, 6], 1, None)]])
    path = tmp_path / TOKENS_FOLDER / "train.arrow"
    content, mark = path.read_bytes(), b"\xff" * 4
    # The schema's message comes first.
    batch_at = content.index(mark, content.index(mark) + 4)
    path.write_bytes(content[:batch_at] + bytes(8) + content[batch_at + 8 :])

    with pytest.raises(TokenFilesError, match=r"train\.arrow cannot be read"):
        TokenFile(tmp_path, "train")


def order_of(rows: list[int], *, repeats: bool = True) -> TrainingOrder:
    count = len(rows)
    return TrainingOrder(
        "staged",
        repeats,
        np.array(rows, np.int64),
        np.linspace(0, 1, count, dtype=np.float32),
        np.zeros(count, np.int8),
    )


@pytest.mark.parametrize("repeats", [True, False])
def test_an_order_is_read_as_it_was_written(tmp_path: Path, repeats: bool) -> None:
    order_of([2, 0, 1], repeats=repeats).write(tmp_path)

    order = TrainingOrder.read(tmp_path)

    assert order is not None
    assert (order.name, order.repeats) == ("staged", repeats)
    assert order.rows.tolist() == [2, 0, 1]
    assert order.difficulties.tolist() == [0, 0.5, 1]
    assert order.tiers.tolist() == [0, 0, 0]
    assert TrainingOrder.read(tmp_path / "other") is None


@pytest.mark.parametrize("rows", [[0, 0], [0, 2], [1]])
def test_an_order_that_leaves_out_a_row_is_refused(tmp_path: Path, rows: list[int]) -> None:
    order_of(rows).write(tmp_path)

    with pytest.raises(TokenFilesError, match="each row once"):
        TrainingOrder.read(tmp_path)


def test_something_else_is_no_order(tmp_path: Path) -> None:
    (tmp_path / ORDER_FILE).write_bytes(b"no Arrow")

    with pytest.raises(TokenFilesError, match="cannot be read"):
        TrainingOrder.read(tmp_path)


FILES = {
    "tokenizer.json": '{"model": {}}',
    "chat_template.jinja": "{{ messages }}",
    "tokenizer_config.json": '{"bos_token": "<s>", "model_max_length": 5}',
}


def folder_with(folder: Path, **changes: str) -> str:
    folder.mkdir()
    for name, content in (FILES | changes).items():
        (folder / name).write_text(content)
    return tokenizer_digest(folder)


@pytest.mark.parametrize(
    ("tokenizer", "alike"),
    [
        ('{"model": {}, "post_processor": {"type": "ByteLevel"}}', True),
        ('{"model": {}, "post_processor": null}', True),
        ('{"model": {"a": 1}, "post_processor": null}', False),
    ],
)
def test_models_that_differ_in_their_post_processor_read_alike(
    tmp_path: Path, tokenizer: str, alike: bool
) -> None:
    plain = folder_with(tmp_path / "plain")
    other = folder_with(tmp_path / "other", **{"tokenizer.json": tokenizer})

    assert plain != other
    assert reads_alike(files_of(tmp_path / "plain"), files_of(tmp_path / "other")) == alike


def test_a_digest_changes_with_all_that_decides_token_ids_and_nothing_else(tmp_path: Path) -> None:
    plain = folder_with(tmp_path / "plain")
    same = {
        "tokenizer_config.json": '{"model_max_length": 9, "bos_token": {"content": "<s>"}}',
        "config.json": '{"vocab_size": 4}',
    }
    others = [
        {"tokenizer.json": '{"model": {"a": 1}}'},
        {"chat_template.jinja": "{{ messages }} "},
        {"tokenizer_config.json": '{"bos_token": "<t>"}'},
        {"tokenizer_config.json": '{"bos_token": "<s>", "chat_template": "{{ messages }}"}'},
    ]

    digests = [folder_with(tmp_path / str(n), **other) for n, other in enumerate(others)]

    assert folder_with(tmp_path / "same", **same) == plain
    assert len({plain, *digests}) == len(others) + 1
