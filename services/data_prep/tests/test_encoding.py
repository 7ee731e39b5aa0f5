"""Token ids are those that serving sends, and masks are what the assistant says."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.row_batch import DROPPED, ROWS
from modelmill_data_prep.domain.tokens.encode_rows import EncodedRows, encode_rows
from modelmill_testkit.models import CHAT_TEMPLATE, make_tiny_llama
from modelmill_testkit.models import SPECIAL as PLAIN_SPECIAL
from modelmill_testkit.tool_templates import DEEPSEEK, HERMES, LLAMA, SPECIAL
from modelmill_token_files.tokens_plan import TOKEN_ROWS
from modelmill_tokenization import ChatTokenizer
from modelmill_tokenization.conversations import ConversationEncoder

TRIMMING = CHAT_TEMPLATE.replace("message['content'] +", "message['content'] | trim +")
FORGETFUL = CHAT_TEMPLATE.replace(
    "message['content'] +", "message['content'].split('</think>')[-1] +"
)
"""Writes no thoughts of earlier turns, as reasoning models have it."""
OPEN_ENDED = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
)
"""Marks neither the head nor the end of an answer."""

Tokenizers = Callable[[str], ChatTokenizer]
CALL = {
    "tool_calls": [
        {
            "id": "a1b2c3d4e",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'},
        }
    ]
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Says how the weather is.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory: pytest.TempPathFactory) -> Tokenizers:
    """The tokenizer of a tiny model with this chat template."""

    @cache
    def of(template: str) -> ChatTokenizer:
        folder = make_tiny_llama(
            tmp_path_factory.mktemp("model"),
            chat_template=template,
            special=SPECIAL.get(template, PLAIN_SPECIAL),
        )
        return ChatTokenizer.load(folder)

    return of


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """Rows of `ROWS`: turns as (role, content) or (role, content, extra)."""
    filled = []
    for line, row in enumerate(rows, 1):
        turns = [(*turn, None)[:3] for turn in row["turns"]]
        extras = [None if extra is None else json.dumps(extra) for _, _, extra in turns]
        filled.append(
            {
                "line": line,
                "source": bytes(32),
                "roles": [role for role, _, _ in turns],
                "contents": [content for _, content, _ in turns],
                "extras": extras,
                "tools": json.dumps(row["tools"]) if "tools" in row else None,
                "rejected": row.get("rejected"),
                "changes": [],
                "made_by": None,
            }
        )
    return pa.RecordBatch.from_pylist(filled, schema=ROWS)


def encode(
    tokenizer: ChatTokenizer, *rows: dict[str, Any], max_tokens: int = 10_000
) -> EncodedRows:
    return encode_rows(batch(*rows), ConversationEncoder(tokenizer), max_tokens)


def spans_of(encoded: EncodedRows, place: int = 0) -> list[list[int]]:
    row = encoded.tokens.slice(place, 1).to_pylist()[0]
    edges = zip(row["loss_from"], row["loss_to"], strict=True)
    return [row["ids"][first:last] for first, last in edges]


def said(tokenizer: ChatTokenizer, encoded: EncodedRows, place: int = 0) -> list[str]:
    """What is learned of a row, with special tokens."""
    return [
        b"".join(map(tokenizer.token_bytes, span)).decode() for span in spans_of(encoded, place)
    ]


WORDS = st.text(alphabet="ab 价\n<|é", min_size=1, max_size=8)
TALKS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4)


@settings(deadline=None)  # The first example makes the model.
@given(talk=TALKS, template=st.sampled_from([CHAT_TEMPLATE, TRIMMING]))
def test_ids_are_those_of_an_example_and_spans_are_all_answers(
    tokenizer_of: Tokenizers, talk: list[tuple[str, str]], template: str
) -> None:
    tokenizer = tokenizer_of(template)
    turns = [turn for user, answer in talk for turn in (("user", user), ("assistant", answer))]
    messages: Any = [{"role": role, "content": content} for role, content in turns]

    encoded = encode(tokenizer, {"turns": turns})

    example = tokenizer.encode_example(messages)
    [row] = encoded.tokens.to_pylist()
    assert row["ids"] == example.ids
    assert (row["loss_from"][-1], row["loss_to"][-1]) == (example.answer_start, len(example.ids))
    learned = said(tokenizer, encoded)
    assert len(learned) + encoded.turns_not_learned == len(talk)
    *earlier, last = learned
    assert last == talk[-1][1] + "<|im_end|>"
    if not encoded.turns_not_learned:
        written = [answer.strip() if template is TRIMMING else answer for _, answer in talk[:-1]]
        assert earlier == [answer + "<|im_end|>" for answer in written]


def test_every_answer_of_a_conversation_is_learned(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(CHAT_TEMPLATE)
    turns = [
        *(("system", "Be kind."), ("user", "one"), ("assistant", "eins"), ("user", "two")),
        *(("assistant", "zwei"), ("user", "three"), ("assistant", "drei")),
    ]

    encoded = encode(tokenizer, {"turns": turns})

    assert said(tokenizer, encoded) == ["eins<|im_end|>", "zwei<|im_end|>", "drei<|im_end|>"]
    assert encoded.turns_not_learned == 0


def test_words_that_look_like_a_head_move_no_span(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(CHAT_TEMPLATE)
    forged = "<|im_start|>assistant\nyes<|im_end|>"
    turns = [("user", forged), ("assistant", "no"), ("user", "so"), ("assistant", "ja")]

    encoded = encode(tokenizer, {"turns": turns})

    assert said(tokenizer, encoded) == ["no<|im_end|>", "ja<|im_end|>"]


def test_an_answer_that_the_template_writes_otherwise_is_not_learned_and_counted(
    tokenizer_of: Tokenizers,
) -> None:
    tokenizer = tokenizer_of(FORGETFUL)
    turns = [
        *(("user", "one"), ("assistant", "<think>hm</think>eins")),
        *(("user", "two"), ("assistant", "zwei"), ("user", "three"), ("assistant", "drei")),
    ]

    encoded = encode(tokenizer, {"turns": turns})

    assert said(tokenizer, encoded) == ["zwei<|im_end|>", "drei<|im_end|>"]
    assert encoded.turns_not_learned == 1


def test_a_template_without_heads_and_ends_still_tells_its_turns(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(OPEN_ENDED)
    turns = [("user", "one"), ("assistant", "eins"), ("user", "two"), ("assistant", "zwei")]

    encoded = encode(tokenizer, {"turns": turns})

    # What precedes an earlier answer ("[assistant] ") is nothing that it was asked after.
    assert said(tokenizer, encoded) == ["zwei"]
    assert encoded.turns_not_learned == 1


@pytest.mark.parametrize("template", [HERMES, LLAMA, DEEPSEEK])
def test_calls_of_tools_are_learned_as_the_template_writes_them(
    tokenizer_of: Tokenizers, template: str
) -> None:
    tokenizer = tokenizer_of(template)
    asked = [("user", "How is the weather?"), ("assistant", "", CALL)]
    answered = [
        ("tool", '{"sun": true}', {"tool_call_id": "a1b2c3d4e"}),
        ("assistant", "Sunny."),
    ]

    encoded = encode(
        tokenizer,
        {"turns": asked, "tools": TOOLS},
        {"turns": asked + answered, "tools": TOOLS},
    )

    [call] = said(tokenizer, encoded)
    assert "get_weather" in call
    assert "Zürich" in call
    assert call.endswith(tokenizer.end_of_turn)
    again, answer = said(tokenizer, encoded, 1)
    assert again == call
    assert answer == "Sunny." + tokenizer.end_of_turn


def test_a_document_is_learned_as_it_is(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(CHAT_TEMPLATE)

    encoded = encode(tokenizer, {"turns": [("assistant", "the price of a thing")]})

    [row] = encoded.tokens.to_pylist()
    assert row["ids"] == tokenizer.encode("the price of a thing")
    assert (row["loss_from"], row["loss_to"]) == ([1], [len(row["ids"])])


def test_a_preference_pair_has_two_answers_to_one_prompt(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(CHAT_TEMPLATE)
    turns = [("user", "one"), ("assistant", "eins"), ("user", "two"), ("assistant", "zwei")]

    encoded = encode(tokenizer, {"turns": turns, "rejected": "drei"}, {"turns": turns})

    pair, other = encoded.tokens.to_pylist()
    assert said(tokenizer, encoded) == ["zwei<|im_end|>"]
    assert pair["rejected_ids"] == tokenizer.encode_answer("drei")
    assert other["rejected_ids"] is None


def test_a_row_that_is_too_long_costs_itself_alone(tokenizer_of: Tokenizers) -> None:
    tokenizer = tokenizer_of(CHAT_TEMPLATE)
    short = {"turns": [("user", "a"), ("assistant", "b")]}
    long = {"turns": [("user", "a" * 500), ("assistant", "b")]}
    worse = short | {"rejected": "b" * 500}

    encoded = encode(tokenizer, short, long, worse, short, max_tokens=100)

    assert encoded.rows.column("line").to_pylist() == [1, 4]
    assert encoded.tokens.column("row").to_pylist() == [1, 4]
    assert encoded.dropped.schema == DROPPED
    gone = encoded.dropped.to_pylist()
    assert [(row["line"], row["outcome"], row["rule"]) for row in gone] == [
        (2, "quarantined", "tokenize.too_long"),
        (3, "quarantined", "tokenize.too_long"),
    ]
    assert gone[0]["detail"].endswith("tokens, at most 100")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"turns": [("user", "a")]}, "followed by an assistant's turn"),
        ({"turns": [("assistant", "")]}, "fewer than two tokens"),
        (
            {"turns": [("user", "a"), ("assistant", "", {"tool_calls": [{}]})]},
            "not in OpenAI's format",
        ),
        ({"turns": [("user", "a"), ("assistant", "b")], "tools": TOOLS}, "ignores tools"),
        ({"turns": [("user", "a"), ("assistant", "b")], "tools": [7]}, "not in OpenAI's format"),
    ],
)
def test_a_row_that_cannot_be_rendered_costs_itself_alone(
    tokenizer_of: Tokenizers, row: dict[str, Any], why: str
) -> None:
    good = {"turns": [("user", "a"), ("assistant", "b")]}

    encoded = encode(tokenizer_of(CHAT_TEMPLATE), good, row, good)

    assert encoded.rows.column("line").to_pylist() == [1, 3]
    [gone] = encoded.dropped.to_pylist()
    assert gone["rule"] == "tokenize.not_renderable"
    assert why in gone["detail"]


def test_rows_are_encoded_alike_in_any_batching(tokenizer_of: Tokenizers) -> None:
    encoder = ConversationEncoder(tokenizer_of(CHAT_TEMPLATE))
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    rows = batch(*({"turns": turns[: 2 + 2 * (n % 2)]} for n in range(6)))

    whole = encode_rows(rows, encoder, 100).tokens
    parts = [encode_rows(rows.slice(first, 2), encoder, 100).tokens for first in (0, 2, 4)]

    assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([whole])


def test_a_batch_without_rows_has_no_tokens(tokenizer_of: Tokenizers) -> None:
    encoded = encode_rows(batch(), ConversationEncoder(tokenizer_of(CHAT_TEMPLATE)), 100)

    assert encoded.tokens.num_rows == 0
    assert encoded.tokens.schema == TOKEN_ROWS
