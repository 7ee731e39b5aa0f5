"""What the assistant says is found by its ids, whatever a tokenizer does at the edges."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization import ChatTokenizer, Turn
from modelmill_tokenization.conversations import (
    Conversation,
    ConversationEncoder,
    EncodedConversation,
)
from modelmill_tokenization.sections import SectionEncoder, find_cuts
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

MakeFolder = Callable[..., Path]
TEXTS = ["the price", "", "价格 <|im_end|>\n", "x = 12345", "the price"]


PIECES = ["<|im_start|>", "<|im_end|>", "<|im_", "the price", " ", "\n", "价格", "12", "a"]
SOME_TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), max_size=6)


@given(batches=st.lists(SOME_TEXTS, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sections_joined_are_the_whole_text(
    tokenizer: ChatTokenizer, batches: list[list[str]]
) -> None:
    encode = tokenizer.section_encoder()

    for texts in batches:
        assert encode(texts) == [tokenizer.encode(text) for text in texts]


def test_what_texts_share_is_encoded_once() -> None:
    asked: list[list[str]] = []

    def encode(texts: Sequence[str]) -> list[list[int]]:
        asked.append(list(texts))
        return [[len(text)] for text in texts]

    sections = SectionEncoder(encode, re.compile("(#)"))
    sections(["sys#a", "sys#b"])

    assert sections(["sys#c"]) == [[3, 1, 1]]
    assert asked == [["sys", "#", "a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("change", "may_cut"),
    [
        ({}, True),
        ({"rstrip": True}, False),
        ({"normalized": True}, False),
        ({"single_word": True}, False),
    ],
)
def test_a_tokenizer_that_looks_across_its_tokens_is_given_whole_texts(
    change: dict[str, bool], may_cut: bool
) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([AddedToken("<a>", **({"normalized": False} | change))])

    assert (find_cuts(made) is not None) == may_cut


@pytest.mark.parametrize(
    "pre_tokenizer",
    [pre_tokenizers.Metaspace(), pre_tokenizers.ByteLevel(add_prefix_space=True), None],
)
def test_a_tokenizer_that_asks_where_a_section_lies_is_given_whole_texts(
    pre_tokenizer: object,
) -> None:
    made = Tokenizer(models.BPE())
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    made.add_special_tokens([AddedToken("<a>", normalized=False)])

    assert find_cuts(made) is None


@pytest.mark.parametrize(
    ("normalizer", "may_cut"),
    [
        (normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]), True),
        (normalizers.Prepend("_"), False),
        (normalizers.Sequence([normalizers.NFC(), normalizers.Prepend("_")]), False),
    ],
)
def test_a_tokenizer_that_puts_something_before_a_text_is_given_whole_texts(
    normalizer: object, may_cut: bool
) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.normalizer = normalizer
    made.add_special_tokens([AddedToken("<a>", normalized=False)])

    assert (find_cuts(made) is not None) == may_cut


def turns(*contents: str) -> list[Turn]:
    """User and assistant by turns."""
    return [
        {"role": ("user", "assistant")[place % 2], "content": content}
        for place, content in enumerate(contents)
    ]


def encoded(tokenizer: ChatTokenizer, *contents: str) -> EncodedConversation:
    [one] = ConversationEncoder(tokenizer)([Conversation(turns(*contents))])
    assert isinstance(one, EncodedConversation)
    return one


def test_many_texts_have_the_ids_that_each_has(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]


def test_a_conversation_has_the_ids_of_an_example_and_a_span_for_each_answer(
    tokenizer: ChatTokenizer,
) -> None:
    contents = ("the price", "价格", "x", " 12345 \n", "y", "that is what people give")

    one = encoded(tokenizer, *contents)

    example = tokenizer.encode_example(turns(*contents))
    assert one.ids == example.ids
    assert [one.ids[first:last] for first, last in one.spans] == [
        tokenizer.encode_answer(content) for content in contents[1::2]
    ]
    assert one.unfound == 0


def test_a_refused_conversation_leaves_the_others_alone(tokenizer: ChatTokenizer) -> None:
    good = Conversation(turns("a", "b"))
    encode = ConversationEncoder(tokenizer)

    first, refused, last = encode([good, Conversation(turns("a")), good])

    assert isinstance(refused, InvalidInputError)
    assert [first, last] == [encode([good])[0]] * 2


def write_words(folder: Path, *, across: str = "") -> ChatTokenizer:
    """A tokenizer in the manner of SentencePiece: every text begins with a space of its own.

    Args:
        across: one more word, which may lie across an edge.
    """
    folder.mkdir()
    letters = [*"▁abcdefghijklmnopqrstuvwxyz:[]/"]
    vocabulary = {token: number for number, token in enumerate(["<unk>", "</s>", *letters])}
    if across:
        vocabulary[across] = len(vocabulary)
    tokenizer = Tokenizer(models.Unigram([(token, -1.0) for token in vocabulary], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    template = (
        "{% for message in messages %}{% if message.role == 'user' %}[a]{{ message.content }}[/a]"
        "{% else %}{{ message.content }}</s>{% endif %}{% endfor %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    return ChatTokenizer.load(folder)


def test_a_tokenizer_that_begins_each_text_with_a_space_keeps_its_spans(tmp_path: Path) -> None:
    """There no stretch alone has the ids that it has in the whole; its edges are found anyway."""
    tokenizer = write_words(tmp_path / "model")

    one = encoded(tokenizer, "hi", "good", "why", "bad")

    learned = [one.ids[first:last] for first, last in one.spans]
    assert [tokenizer.decode(ids) for ids in learned] == ["good", "bad"]
    assert all(ids[-1] == tokenizer.encode("</s>")[-1] for ids in learned)
    assert one.unfound == 0


def test_an_answer_whose_edge_lies_within_a_token_is_counted_and_not_learned(
    tmp_path: Path,
) -> None:
    tokenizer = write_words(tmp_path / "model", across="]g")

    one = encoded(tokenizer, "hi", "good", "why", "bad", "why", "nice")

    learned = [tokenizer.decode(one.ids[first:last]) for first, last in one.spans]
    assert learned == ["bad", "nice"]
    assert one.unfound == 1


@pytest.mark.parametrize("contents", [("a",), ("a", "b", "c"), ()])
def test_a_conversation_ends_with_an_answer(
    tokenizer: ChatTokenizer, contents: tuple[str, ...]
) -> None:
    [one] = ConversationEncoder(tokenizer)([Conversation(turns(*contents))])

    assert isinstance(one, InvalidInputError)
