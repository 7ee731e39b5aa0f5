"""Log-probabilities in OpenAI's shapes; what the guard keeps back does not leave in a token."""

import json
from itertools import pairwise
from typing import Any

import httpx
import pytest
from gateway_support.house import BLOCKED, MASKED, House, compiled
from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import TokenLogprob
from modelmill_gateway.guarding.rule_filtered_stream import GuardedLogprobs
from modelmill_guard.verdict import Direction

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]


async def chat(house: House, **changes: Any) -> httpx.Response:
    body = {"model": "default", "messages": QUESTION, "logprobs": True} | changes
    async with house.http() as client:
        return await client.post("/v1/chat/completions", json=body)


async def test_chat_tells_each_token_with_its_bytes_and_alternatives(house: House):
    house.inference.pieces = ["caf", "é", "🜁"]
    house.inference.alternatives = [b"\xe4"]
    answer = await house.openai().chat.completions.create(
        model="default", messages=QUESTION, logprobs=True, top_logprobs=2
    )
    content = answer.choices[0].logprobs.content

    assert [token.token for token in content] == ["caf", "é", "🜁"]
    assert bytes(content[2].bytes).decode() == "🜁"
    assert [token.logprob for token in content] == [-1.0] * 3
    best, other = content[0].top_logprobs
    assert (best.token, best.logprob) == ("caf", -1.0)
    assert (other.token, other.bytes, other.logprob) == ("\ufffd", [0xE4], -2.0)
    assert house.inference.requests[0].options.logprobs == 2


async def test_streamed_tokens_are_those_of_the_whole_answer(house: House):
    stream = await house.openai().chat.completions.create(
        model="default", messages=QUESTION, logprobs=True, stream=True
    )
    choices = [chunk.choices[0] async for chunk in stream]

    tokens = [
        token.token for choice in choices if choice.logprobs for token in choice.logprobs.content
    ]
    assert tokens == ["Hello", ", ", "world"]
    assert "".join(choice.delta.content or "" for choice in choices) == "Hello, world"


async def test_without_the_desired_state_there_are_none(house: House):
    answer = await house.openai().chat.completions.create(model="default", messages=QUESTION)

    assert answer.choices[0].logprobs is None
    assert not house.inference.requests[0].options.HasField("logprobs")


@pytest.mark.parametrize("stream", [False, True])
async def test_completions_tell_them_as_lists_with_places(house: House, stream: bool):
    house.inference.alternatives = [b"Hi"]
    client = house.openai()
    asked = {"model": "default", "prompt": "once", "logprobs": 2}
    if stream:
        chunks = [c async for c in await client.completions.create(**asked, stream=True)]
        told = [c.choices[0].logprobs for c in chunks if c.choices[0].logprobs]
    else:
        told = [(await client.completions.create(**asked)).choices[0].logprobs]

    assert [t for each in told for t in each.tokens] == ["Hello", ", ", "world"]
    assert [t for each in told for t in each.text_offset] == [0, 5, 7]
    assert [t for each in told for t in each.token_logprobs] == [-1.0] * 3
    assert told[0].top_logprobs[0] == {"Hello": -1.0, "Hi": -2.0}


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_of_what_is_blocked_or_masked_do_not_leave(house: House, stream: bool):
    house.inference.pieces = ["my ", *MASKED, " and ", *BLOCKED, " is"]
    answer = await chat(house, stream=stream, top_logprobs=1)
    whole = answer.text
    if stream:
        events = whole.strip().split("\n\n")[:-1]
        choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
    else:
        choices = answer.json()["choices"]
    told = [token for c in choices if c["logprobs"] for token in c["logprobs"]["content"]]

    assert "".join(token["token"] for token in told) == "my ***** and "
    assert bytes(byte for token in told for byte in token["bytes"]) == b"my ***** and "
    assert not any(token["top_logprobs"] for token in told[1:6])
    assert choices[-1]["finish_reason"] == "content_filter"


async def test_an_alternative_that_a_rule_forbids_is_left_out(house: House):
    house.inference.pieces = ["so ", "what"]
    house.inference.alternatives = [BLOCKED.encode(), MASKED.encode(), b"fine"]
    content = (await chat(house, top_logprobs=4)).json()["choices"][0]["logprobs"]["content"]

    tokens = [[other["token"] for other in token["top_logprobs"]] for token in content]
    assert tokens == [["so ", "fine"], ["what", "fine"]]


async def test_an_alternative_does_not_complete_what_a_rule_forbids(house: House):
    start, rest = BLOCKED.split(" ")
    house.inference.pieces = [start, " dance"]
    house.inference.alternatives = [f" {rest}".encode()]
    answer = await chat(house, top_logprobs=2)

    assert answer.json()["choices"][0]["message"]["content"] == f"{start} dance"
    second = answer.json()["choices"][0]["logprobs"]["content"][1]
    shown = [other["token"] for other in second["top_logprobs"]]
    assert (second["token"], shown) == (" dance", [" dance"])


async def test_alternatives_stand_beside_every_token_of_a_harmless_answer(house: House):
    house.inference.pieces = ["Cer", "tainly", "!", " An", " Eng", "lish", " greet", "ing"]
    house.inference.alternatives = [b"s", b" or"]
    content = (await chat(house, top_logprobs=3)).json()["choices"][0]["logprobs"]["content"]

    assert [len(token["top_logprobs"]) for token in content] == [3] * 8


def released(tokens: list[bytes], sizes: list[int]) -> list[TokenLogprob]:
    """What a guard lets out of tokens that come in groups of these sizes, then one by one."""
    guard, out, start = GuardedLogprobs(compiled()[1]), [], 0
    for size in [*sizes, *[1] * len(tokens)]:
        group = tokens[start : start + size]
        out += guard.push([TokenLogprob(token, -1.0) for token in group])
        start += size
    return [*out, *guard.finish()]


BYTES = st.lists(
    st.one_of(
        st.binary(max_size=4), st.sampled_from([w.encode() for w in ["a", "é", "😀", "*", "价"]])
    ),
    max_size=20,
)


@given(tokens=BYTES, sizes=st.lists(st.integers(0, 5), max_size=10))
async def test_harmless_tokens_come_out_as_they_went_in_whatever_their_bytes(
    tokens: list[bytes], sizes: list[int]
):
    assert [token.token for token in released(tokens, sizes)] == tokens


@given(cuts=st.sets(st.integers(1, 30)), sizes=st.lists(st.integers(0, 5), max_size=10))
async def test_a_masked_word_is_masked_in_its_tokens_however_it_is_cut(
    cuts: set[int], sizes: list[int]
):
    text = f"né {MASKED} is é".encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    tokens = [text[a:b] for a, b in pairwise(places)]

    out = released(tokens, sizes)

    assert b"".join(token.token for token in out) == "né ***** is é".encode()


HALVES = [part for word in (BLOCKED, MASKED) for part in (word[:4], word[4:])]
WORDS = st.sampled_from([*HALVES, " ", "é"])


@given(texts=st.lists(st.lists(WORDS, min_size=2, max_size=4), max_size=12))
async def test_no_alternative_that_is_shown_makes_the_answer_match_a_rule(texts: list[list[str]]):
    _, policy = compiled()
    guard = GuardedLogprobs(policy)
    shown: list[TokenLogprob] = []
    for chosen, *others in texts:
        alternatives = tuple((other.encode(), -2.0) for other in others)
        shown += guard.push([TokenLogprob(chosen.encode(), -1.0, alternatives)])
    shown += guard.finish()

    before = ""
    for (chosen, *_), token in zip(texts, shown, strict=False):
        already = len(policy.check(before, Direction.OUTPUT).matches)
        for other, _ in token.alternatives:
            verdict = policy.check(before + other.decode(), Direction.OUTPUT)
            assert len(verdict.matches) <= already, (before, other)
        before += chosen
