"""What is said in rows, and their single answers, also of a slice of a batch."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.mapping.mapped_row import MappedRow, mapped_batch
from modelmill_data_prep.domain.row_batch import classification_answers, texts_without_system

TURN = st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text("ab好\n", max_size=3))
CONVERSATION = st.tuples(st.lists(TURN, max_size=4), st.text("ab好", min_size=1, max_size=3)).map(
    lambda parts: [*parts[0], ("assistant", parts[1])]
)


def batch_of(conversations: list[list[tuple[str, str]]]) -> pa.RecordBatch:
    rows = [
        MappedRow([role for role, _ in turns], [text for _, text in turns], [None] * len(turns))
        for turns in conversations
    ]
    numbers = range(1, len(rows) + 1)
    return mapped_batch(list(numbers), [bytes(32)] * len(rows), rows, [None] * len(rows))


@given(st.lists(CONVERSATION, max_size=6), st.integers(0, 6))
def test_the_system_turn_is_not_spoken_and_one_question_has_a_single_answer(
    conversations: list[list[tuple[str, str]]], start: int
) -> None:
    rows = batch_of(conversations).slice(start)

    said = [
        [(role, text) for role, text in turns if role != "system"]
        for turns in conversations[start:]
    ]
    assert texts_without_system(rows) == ["\n".join(text for _, text in turns) for turns in said]
    assert classification_answers(rows) == [
        turns[-1][1] if [role for role, _ in turns] == ["user", "assistant"] else None
        for turns in said
    ]
