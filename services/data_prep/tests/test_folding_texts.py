"""A batch folds to what each of its texts folds to by itself."""

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.duplicates.folded_text import fold
from modelmill_data_prep.domain.text_form import comparison_key

any_text = st.text(st.characters(exclude_categories=["Cs"]))
tricky_text = st.text(
    st.sampled_from(
        "aẞé\u0301 \t\u00a0\u3000\n\x00\x1e\x1f…½ﬁ½\u0300\u05ad\u200d\u1100\u1161\u11a8가각"
        "汉，Ａ\uff76\uff9e\u0915\u093c\u0958👩\ufe0f\u212bǅΣς\u0345\U00020000\U0001f100\U000e0100"
    ),
    max_size=12,
)
texts = st.lists(st.one_of(any_text, tricky_text), max_size=8)


def folded(array: pa.Array) -> list[str]:
    keys = fold(array)
    return [
        keys.code_points[start:end].astype("<u4").tobytes().decode("utf-32-le")
        for start, end in zip(keys.offsets[:-1], keys.offsets[1:], strict=True)
    ]


@settings(deadline=None)  # The first example loads the table.
@given(texts)
@example(["\u1100\u1161\u11a8"])  # Three jamo, one syllable.
@example(["a\u0315\u05ad"])  # Two marks that change places.
def test_every_text_of_a_batch_gets_its_comparison_key(batch: list[str]) -> None:
    assert folded(pa.array(batch, pa.string())) == [comparison_key(text) for text in batch]


def test_every_character_folds_as_in_its_comparison_key() -> None:
    points = [point for point in range(0x20100) if not 0xD800 <= point < 0xE000]
    batch = [f"a{chr(point)}b" for point in points]

    assert folded(pa.array(batch, pa.string())) == [comparison_key(text) for text in batch]


@settings(deadline=None)  # The first example loads the table.
@given(texts, st.integers(0, 8), st.integers(0, 8))
def test_a_part_of_an_array_folds_like_an_array_of_its_own(
    batch: list[str], start: int, count: int
) -> None:
    part = pa.array(batch, pa.string()).slice(min(start, len(batch)), count)

    assert folded(part) == [comparison_key(text) for text in part.to_pylist()]


def test_nothing_folds_to_nothing() -> None:
    assert folded(pa.array([], pa.string())) == []
    assert folded(pa.array(["", None, " "], pa.string())) == ["", "", ""]
    assert fold(pa.array(["", " "], pa.string())).code_points.dtype == np.uint32
