"""Passages: cut to a size, whole where they can be, and each with the place that it stands at."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.passages import BETWEEN_BLOCKS, PassageSize, passages_of
from modelmill_documents.scripts import count_tokens

BLOCKS = st.lists(
    st.builds(
        DocumentBlock,
        st.text("ab .。酒店\n!", min_size=1, max_size=80).filter(str.strip),
        st.none(),
        st.sampled_from([0, 0, 0, 1, 2]),
    ),
    max_size=12,
)


@given(BLOCKS, st.integers(4, 40), st.booleans())
def test_each_passage_stands_at_its_offset_fits_and_none_is_lost(
    blocks: list[DocumentBlock], most: int, by_characters: bool
) -> None:
    size = PassageSize(characters=most) if by_characters else PassageSize(most)
    text = BETWEEN_BLOCKS.join(block.text for block in blocks)
    found = list(passages_of(blocks, size))

    for passage in found:
        assert text[passage.offset :].startswith(passage.text)
        assert (len if by_characters else count_tokens)(passage.text) <= most
    assert "".join("".join(p.text for p in found).split()) == "".join(text.split())


def test_a_passage_names_the_page_and_the_headings_above_it() -> None:
    blocks = [
        DocumentBlock("Book", 1, 1),
        DocumentBlock("Chapter", 1, 2),
        DocumentBlock("one two three four", 1),
        DocumentBlock("five six seven eight", 2),
        DocumentBlock("Other", 3, 2),
        DocumentBlock("nine ten", 3),
    ]
    assert list(passages_of(blocks, PassageSize(6))) == [
        ("Book\n\nChapter\n\none two three four", 1, "Book > Chapter", 0),
        ("five six seven eight", 2, "Book > Chapter", 35),
        ("Other\n\nnine ten", 3, "Book > Other", 57),
    ]


def test_headings_without_end_are_not_kept_for_each_block_beneath() -> None:
    heading = "x" * 2_000_000
    blocks = [DocumentBlock(heading, None, 1), DocumentBlock(heading, None, 2)]
    blocks += [DocumentBlock("a")] * 400
    tracemalloc.start()
    try:
        found = list(passages_of(blocks, PassageSize()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found[-1].section == "x" * 300
    assert peak < 32 * len(heading)


def test_a_long_paragraph_is_cut_behind_sentences() -> None:
    text = "第一句话。第二句话！" + "One two. Three four? Five."
    found = passages_of([DocumentBlock(text)], PassageSize(5))
    texts = [passage.text for passage in found]
    assert texts == ["第一句话。", "第二句话！", "One two.", "Three four? Five."]


def test_a_word_without_end_is_cut() -> None:
    found = list(passages_of([DocumentBlock("x" * 10_000)], PassageSize(16)))
    assert max(len(p.text) for p in found) <= 16 * 16
    assert "".join(p.text for p in found) == "x" * 10_000
