"""Ids become the same text without the foreign half of a tokenizer, and decoders have bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.token_decoder import TokenDecoder, decoding_document
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}
PIECES = ["\u2581a", "\u2581", "b", "\u4ef7", "ing", "\u2581the"]


def byte_fallback() -> Tokenizer:
    vocabulary = BYTES | {piece: 256 + place for place, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def unigram() -> Tokenizer:
    # One text under two ids, as a list can have it.
    pieces = [("<unk>", 0.0), *((piece, -1.0) for piece in [*PIECES, "b"])]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def word_piece() -> Tokenizer:
    vocabulary = {piece: place for place, piece in enumerate(["[UNK]", "a", "##ing", "do", "n't"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


MAKERS = [byte_fallback, unigram, word_piece]


def both(tokenizer: Tokenizer) -> tuple[ChatTokenizer, TokenDecoder]:
    tokenizer.add_special_tokens([AddedToken("<end>", special=True), "<call>"])
    tokenizer.add_tokens(["plain added", "Upper"])
    document = decoding_document(tokenizer)
    own = ChatTokenizer(tokenizer, None, frozenset())
    return own, TokenDecoder.from_document(document, own.facts)


PAIRS = [both(make()) for make in MAKERS]


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=[make.__name__ for make in MAKERS])
@given(data=st.data())
def test_the_text_is_that_of_the_whole_tokenizer(place: int, data: st.DataObject) -> None:
    own, decoder = PAIRS[place]
    ids = data.draw(st.lists(st.integers(0, own.vocab_size - 1), max_size=12))

    assert decoder.decode(ids) == own.decode(ids)
    for token in range(-1, own.vocab_size + 2):
        assert decoder.token_bytes(token) == own.token_bytes(token)


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([decoders.Replace(Regex("(a|aa)+$"), "")], "by a regular expression"),
        ([decoders.Replace("a", "a" * 17)], "17 times longer"),
        ([decoders.Replace("a", "aa")] * 5, "32 times longer"),
    ],
)
def test_a_decoder_whose_steps_have_no_bounds_is_refused(
    steps: list[decoders.Decoder], why: str
) -> None:
    tokenizer = byte_fallback()
    tokenizer.decoder = decoders.Sequence(steps)

    with pytest.raises(InvalidInputError, match=why):
        decoding_document(tokenizer)
