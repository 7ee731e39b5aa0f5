"""Rows that say the same are found wherever they stand; keys tell nothing else apart."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates.exact import ExactDuplicates
from modelmill_data_prep.domain.duplicates.row_keys import (
    RowKeys,
    row_keys,
    row_signatures,
    signatures,
)
from modelmill_data_prep.domain.row_batch import ROWS, texts_without_system
from modelmill_data_prep.domain.text_form import comparison_key

Turns = list[tuple[str, str]]


def rows_of(
    conversations: Sequence[Turns],
    *,
    extras: str | None = None,
    tools: str | None = None,
    rejected: str | None = None,
) -> pa.RecordBatch:
    """`ROWS` with these turns; what else is given is the last row's."""
    count = len(conversations)
    last: list[Any] = [None] * max(count - 1, 0)
    columns = {
        "line": list(range(1, count + 1)),
        "source": [bytes(32)] * count,
        "roles": [[role for role, _ in turns] for turns in conversations],
        "contents": [[text for _, text in turns] for turns in conversations],
        "extras": [
            [extras if place == count - 1 else None for _ in turns]
            for place, turns in enumerate(conversations)
        ],
        "tools": ([*last, tools])[:count],
        "rejected": ([*last, rejected])[:count],
        "changes": [[]] * count,
        "made_by": [None] * count,
        "document": [None] * count,
    }
    return pa.RecordBatch.from_pydict(columns, schema=ROWS)


def said(text: str, answer: str = "yes") -> Turns:
    return [("user", text), ("assistant", answer)]


def exact(keys: RowKeys) -> list[tuple[int, int]]:
    return [(int(high), int(low)) for high, low in keys.exact]


def group(keys: RowKeys) -> list[tuple[int, int]]:
    return [(int(high), int(low)) for high, low in keys.group]


words = st.text(st.sampled_from("aA Ａé"), max_size=3)
conversations = st.lists(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), words), max_size=3),
    max_size=20,
)


@settings(deadline=None)
@given(conversations)
def test_keys_are_equal_exactly_where_the_conversations_are(many: list[Turns]) -> None:
    keys = row_keys(rows_of(many), 0)

    whole = [tuple((role, comparison_key(text)) for role, text in turns) for turns in many]
    openings = [
        next((comparison_key(text) for role, text in turns if role == "user"), turns)
        for turns in [list(one) for one in whole]
    ]
    assert same_pattern(exact(keys), whole)
    assert same_pattern(group(keys), [str(opening) for opening in openings])


def same_pattern(keys: Sequence[Any], values: Sequence[Any]) -> bool:
    """Whether two keys are equal exactly where the values are."""
    pairs = set(zip(keys, values, strict=True))
    return len(pairs) == len(set(keys)) == len(set(values))


@settings(deadline=None)
@given(conversations, st.data())
def test_a_row_has_the_same_keys_in_every_batch(many: list[Turns], data: st.DataObject) -> None:
    rows = rows_of(many, extras="{}", tools="[]", rejected="no")
    cut = data.draw(st.integers(0, len(many)))

    whole = row_keys(rows, 3)
    parts = [row_keys(rows.slice(0, cut), 3), row_keys(rows.slice(cut), 3)]

    assert [key for part in parts for key in exact(part)] == exact(whole)
    assert [key for part in parts for key in group(part)] == group(whole)


@settings(deadline=None)
@given(conversations, st.data())
def test_a_row_is_signed_by_what_is_said_in_it(many: list[Turns], data: st.DataObject) -> None:
    rows = rows_of(many)
    cut = data.draw(st.integers(0, len(many)))

    whole = signatures(pa.array(texts_without_system(rows), pa.string()))
    parts = [row_signatures(rows.slice(0, cut)), row_signatures(rows.slice(cut))]

    assert (np.concatenate(parts) == whole).all()


def test_what_else_a_row_has_makes_it_another_row_of_the_same_group() -> None:
    rows = [
        rows_of([said("a")]),
        rows_of([said("a")], extras='{"name": "x"}'),
        rows_of([said("a")], tools="[]"),
        rows_of([said("a")], rejected="no"),
        rows_of([said("a")], rejected=""),
        rows_of([said("a", "no")]),
        rows_of([[*said("a"), *said("b")]]),
        rows_of([[("system", "s"), *said("a")]]),
    ]
    keys = [row_keys(one, 0) for one in rows]

    assert len({exact(one)[0] for one in keys}) == len(rows)
    assert len({group(one)[0] for one in keys}) == 1
    assert group(row_keys(rows[0], 1)) != group(keys[0])
    assert exact(row_keys(rows[0], 1)) == exact(keys[0])


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_the_leader_of_a_row_is_the_first_that_says_the_same(
    texts: list[int], cuts: list[int]
) -> None:
    rows = rows_of([said(str(text)) for text in texts])

    expected = [texts.index(text) for text in texts]

    assert leaders_of(rows, [0]) == expected
    # Batches may come in any order.
    assert leaders_of(rows, sorted({0, *(cut for cut in cuts if cut < len(texts))})) == expected


def leaders_of(rows: pa.RecordBatch, starts: list[int]) -> list[int]:
    with TemporaryDirectory() as folder:
        store = ExactDuplicates(Path(folder) / "exact")
        ends = [*starts[1:], rows.num_rows]
        for start, end in reversed(list(zip(starts, ends, strict=True))):
            store.add(row_keys(rows.slice(start, end - start), 0).exact, start)
        leaders: list[int] = store.leaders().tolist()
        return leaders
