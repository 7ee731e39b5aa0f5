"""The bytes of single tokens join to the text that they were made from."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.token_decoder import TokenBytes
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("the price 价格人们😀🏳️‍🌈é́1\n\t\ufffd▁Ġ<0xE4>|im_start"),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)
WORDS = ["▁the", "▁price", "▁", "the", "é", "价", *"abcdefghijklmnopqrstuvwxyz"]


def sentencepiece_tokenizer(*, prepend: bool) -> Tokenizer:
    """BPE with byte fallback as Llama 2 and Gemma have it, with or without a space in front."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS]
    vocabulary = {name: place for place, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    steps = [normalizers.Prepend("▁")] if prepend else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names[:3]])
    return tokenizer


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return ChatTokenizer.load(make_tiny_llama(tmp_path_factory.mktemp("llama")))


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_bytes_of_byte_level_tokens_join_to_the_text(
    tokenizer: ChatTokenizer, tiny_llama: ChatTokenizer, text: str
) -> None:
    for made in (tokenizer, tiny_llama):
        assert b"".join(map(made.token_bytes, made.encode(text))) == text.encode()


@settings(max_examples=300, deadline=None)
@given(text=TEXTS.filter(lambda text: "▁" not in text))
def test_bytes_of_sentencepiece_tokens_join_to_the_text_with_the_space_that_it_adds(
    text: str,
) -> None:
    for prepend in (False, True):
        made = sentencepiece_tokenizer(prepend=prepend)
        ids = made.encode(text, add_special_tokens=False).ids

        joined = b"".join(map(TokenBytes(made), ids))

        # The space comes only before text that is no special token.
        assert joined.replace(b" ", b"") == text.replace(" ", "").encode()
        if not any(name in text for name in ("<unk>", "<s>", "</s>")):
            assert joined == (f" {text}" if prepend and text else text).encode()


def test_a_special_token_is_its_name(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("<|im_start|>hi<|im_end|>")

    assert tokenizer.token_bytes(ids[0]) == b"<|im_start|>"
    assert b"".join(map(tokenizer.token_bytes, ids)) == b"<|im_start|>hi<|im_end|>"


def test_a_token_that_is_spelled_like_a_byte_is_one_only_where_bytes_are_spelled_so() -> None:
    made = sentencepiece_tokenizer(prepend=False)
    byte = made.token_to_id("<0xE4>")
    plain = Tokenizer(models.WordLevel({"<0xE4>": 0}))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    assert TokenBytes(made)(byte) == b"\xe4"
    assert TokenBytes(plain)(0) == b"<0xE4>"


@pytest.mark.parametrize("token", [-1, 300, 2**31])
def test_an_id_that_is_no_token_has_no_bytes(tokenizer: ChatTokenizer, token: int) -> None:
    assert tokenizer.vocab_size <= 300
    assert tokenizer.token_bytes(token) == b""


def test_every_byte_of_every_token_is_told(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    single = {tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)}

    assert {bytes([byte]) for byte in range(256)} <= single
