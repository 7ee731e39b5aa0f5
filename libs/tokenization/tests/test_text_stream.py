from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.text_stream import HOLD_TOKENS, TextStream

TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("the price 价格人们😀🏳️‍🌈é́1\n\ufffd"), st.characters(codec="utf-8")
    ),
    max_size=40,
).filter(lambda text: "<|" not in text)
"""Without special tokens: hypothesis knows them from the constants of our code."""


def in_chunks(
    tokenizer: ChatTokenizer,
    ids: list[int],
    sizes: list[int],
    shown: Mapping[int, str] | None = None,
) -> list[str]:
    """What a stream returns when `ids` come in chunks of these sizes, the rest one by one."""
    stream, pieces, start = TextStream(tokenizer, shown), [], 0
    for size in [*sizes, *[1] * len(ids)]:
        pieces.append(stream.push(ids[start : start + size]))
        start += size
    return [*pieces, stream.finish()]


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, sizes=st.lists(st.integers(0, 7), max_size=20))
def test_the_pieces_of_a_text_join_to_it_however_it_is_cut(
    tokenizer: ChatTokenizer, text: str, sizes: list[int]
) -> None:
    ids = tokenizer.encode(text)

    assert "".join(in_chunks(tokenizer, ids, sizes)) == tokenizer.decode(ids) == text


@settings(max_examples=300, deadline=None)
@given(
    ids=st.lists(st.integers(0, 299), max_size=80), sizes=st.lists(st.integers(0, 7), max_size=20)
)
def test_ids_that_are_no_text_join_to_what_decoding_them_at_once_gives(
    tokenizer: ChatTokenizer, ids: list[int], sizes: list[int]
) -> None:
    assert "".join(in_chunks(tokenizer, ids, sizes)) == tokenizer.decode(ids)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="价格人们😀🏳️‍🌈é́", max_size=20))
def test_no_piece_holds_half_a_character(tokenizer: ChatTokenizer, text: str) -> None:
    pieces = in_chunks(tokenizer, tokenizer.encode(text), [])

    assert "\ufffd" not in "".join(pieces)


def test_a_character_comes_with_its_last_token(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("😀")
    stream = TextStream(tokenizer)

    assert len(ids) == 4
    assert [stream.push([token]) for token in ids] == ["", "", "", "😀"]


def test_special_tokens_leave_no_trace(tokenizer: ChatTokenizer) -> None:
    stream = TextStream(tokenizer)

    assert stream.push(tokenizer.encode("<|im_start|>hi<|im_end|>")) == "hi"
    assert stream.finish() == ""


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), sizes=st.lists(st.integers(0, 7), max_size=20))
def test_a_special_token_that_is_shown_stands_where_it_came_and_others_do_not(
    tokenizer: ChatTokenizer, texts: list[str], sizes: list[int]
) -> None:
    start, end = tokenizer.encode("<|im_start|><|im_end|>")
    ids = [token for text in texts for token in (*tokenizer.encode(text), end, start)]

    pieces = in_chunks(tokenizer, ids, sizes, {start: "\udc00"})

    assert "".join(pieces) == "".join(f"{text}\udc00" for text in texts)


def test_a_character_that_a_shown_token_interrupts_is_given_up(tokenizer: ChatTokenizer) -> None:
    (start,) = tokenizer.encode("<|im_start|>")
    first, *rest = tokenizer.encode("😀")
    stream = TextStream(tokenizer, {start: "\udc00"})

    assert stream.push([first]) == ""
    assert stream.push([start]) == "\ufffd\udc00"
    assert stream.push(rest) + stream.finish() == tokenizer.decode(rest)


def test_an_unfinished_character_ends_as_one_replacement(tokenizer: ChatTokenizer) -> None:
    stream = TextStream(tokenizer)

    assert stream.push(tokenizer.encode("a😀")[:3]) == ""
    assert stream.finish() == "a\ufffd"
    assert stream.finish() == ""


def test_bytes_that_never_become_a_character_are_not_held_for_ever(
    tokenizer: ChatTokenizer,
) -> None:
    middle = tokenizer.encode("😀")[1]
    stream = TextStream(tokenizer)

    held = [stream.push([middle]) for _ in range(10 * HOLD_TOKENS)]

    assert len("".join(held)) >= 8 * HOLD_TOKENS
    assert "".join(held) + stream.finish() == "\ufffd" * 10 * HOLD_TOKENS
