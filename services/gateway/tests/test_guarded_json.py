"""An answer that is JSON is judged as its readers will read it, however it is escaped and cut."""

import json
from typing import Any

import pytest
from gateway_support.house import BLOCKED, MASKED, House, compiled
from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import End, Piece, TokenLogprob, Usage
from modelmill_gateway.guarding.guarded_json import GuardedJson
from modelmill_gateway.guarding.rule_filtered_stream import RuleFilteredStream

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = st.lists(st.integers(0, 5), max_size=20)
END = End("stop", Usage(1, 1))


def units(text: str) -> str:
    """The text with an escape for each UTF-16 unit."""
    raw = text.encode("utf-16-be")
    return "".join(f"\\u{raw[at]:02X}{raw[at + 1]:02x}" for at in range(0, len(raw), 2))


SPELLINGS = (
    BLOCKED.replace("b", "\\u0062"),
    BLOCKED.replace(" ", "\\n"),
    BLOCKED.replace("d", "\\uff44"),
    units(BLOCKED),
    units("".join(chr(0x1D41A + ord(letter) - ord("a")) for letter in "forbidden") + " fruit"),
)
"""The last one is of bold letters, each of which takes two escapes."""


def pieces_of(text: str, sizes: list[int]) -> list[str]:
    pieces, start = [], 0
    for size in [*sizes, len(text)]:
        pieces.append(text[start : start + size])
        start += size
    return pieces


def released(text: str, sizes: list[int]) -> tuple[str, bool]:
    guard = GuardedJson(compiled()[1])
    out = "".join(guard.push(piece) for piece in pieces_of(text, sizes))
    return out + guard.finish(), guard.blocked


@given(spelling=st.sampled_from(SPELLINGS), sizes=SIZES)
async def test_what_is_blocked_is_blocked_however_it_is_spelled(spelling: str, sizes: list[int]):
    assert released(f'{{"a": "the {spelling}, "}}', sizes) == ('{"a": "the ', True)


@given(sizes=SIZES)
async def test_what_is_masked_is_masked_however_it_is_spelled(sizes: list[int]):
    text = f'{{"a": "\\n my {units(MASKED)} \\"{MASKED}\\" \\\\"}}'

    out, blocked = released(text, sizes)

    assert (out, blocked) == ('{"a": "\\n my ***** \\"*****\\" \\\\"}', False)
    assert json.loads(out) == {"a": '\n my ***** "*****" \\'}


@given(text=st.text(alphabet=st.one_of(st.sampled_from('\\u0dDcC8"n*é😀'), st.characters())))
async def test_what_is_harmless_comes_out_as_it_went_in(text: str):
    assert released(text, [1] * len(text)) == (text, False)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_by_a_schema_does_not_say_in_escapes_what_is_blocked(
    house: House, stream: bool
):
    house.inference.pieces = list(f'{{"a": "the {SPELLINGS[0]}"}}')
    body: dict[str, Any] = {
        "model": "default",
        "messages": [{"role": "user", "content": "hello"}],
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "stream": stream,
    }
    async with house.http() as client:
        raw = (await client.post("/v1/chat/completions", json=body)).text

    assert "content_filter" in raw
    assert "u0062" not in raw
    events = [it.removeprefix("data: ") for it in raw.strip().split("\n\n")]
    choices = [json.loads(it)["choices"][0] for it in events if it != "[DONE]"]
    told = [it["token"] for c in choices if c["logprobs"] for it in c["logprobs"]["content"]]
    assert "".join(told) == '{"a": "the '


async def test_tokens_of_what_is_masked_in_escapes_do_not_leave():
    answer = RuleFilteredStream(compiled()[1], is_json=True)
    text = f'{{"a": "{units(MASKED)}", "b": 1}}'
    tokens = [TokenLogprob(character.encode(), -1.0) for character in text]
    shown = [answer.shown(Piece(chr(it.token[0]), logprobs=(it,))) for it in tokens]
    shown.append(answer.shown(Piece("", END)))

    assert "".join(piece.text for piece in shown) == '{"a": "*****", "b": 1}'
    told = b"".join(token.token for piece in shown for token in piece.logprobs)
    assert b'{"a": ' in told
    assert b"u0070" not in told


@pytest.mark.parametrize("is_json", [False, True])
async def test_tokens_do_not_say_what_is_blocked_once_strings_are_read_together(is_json: bool):
    answer = RuleFilteredStream(compiled()[1], is_json=is_json)
    text = json.dumps({"a": BLOCKED.split(" ")})
    tokens = [TokenLogprob(character.encode(), -1.0) for character in text]
    shown = [answer.shown(Piece(chr(it.token[0]), logprobs=(it,))) for it in tokens]
    shown.append(answer.shown(Piece("", END)))

    assert answer.end is not None
    assert answer.end.finish_reason == "content_filter"
    told = b"".join(token.token for piece in shown for token in piece.logprobs)
    assert '{"a": ["'.startswith(told.decode())


async def test_tokens_of_harmless_json_leave_all():
    answer = RuleFilteredStream(compiled()[1], is_json=True)
    text = '{"a": "pho\\u006f forbidden\\n dance \\\\"}'
    tokens = [TokenLogprob(character.encode(), -1.0) for character in text]
    shown = [answer.shown(Piece(chr(it.token[0]), logprobs=(it,))) for it in tokens]
    shown.append(answer.shown(Piece("", END)))

    assert "".join(piece.text for piece in shown) == text
    assert [token for piece in shown for token in piece.logprobs] == tokens
