"""Answers before judges: a window leaves once its judges let it pass, whatever the cuts."""

import asyncio
import itertools
import json
from typing import Any

import httpx
import pytest
from gateway_support.house import BLOCKED, MASKED, POLICY, House
from gateway_support.judges import VILE
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
CALM = "calm words and nothing else, "
"""As no judge minds; 29 characters."""
numbers = itertools.count()


def pieces_of(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


class ModerationResult:
    """A tenant whose policy has one judge, of windows of 50 characters."""

    def __init__(self, house: House, tenant: str) -> None:
        self.house = house
        self.client = house.http(tenant=tenant)

    async def chat(self, **more: Any) -> httpx.Response:
        body = {"model": "default", "messages": QUESTION} | more
        return await self.client.post("/v1/chat/completions", json=body)

    async def said(self, **more: Any) -> tuple[str, str, str]:
        """The raw stream, its text, and how it finished."""
        raw = (await self.chat(stream=True, **more)).text
        events = [line.removeprefix("data: ") for line in raw.split("\n\n") if line]
        choices = [json.loads(event) for event in events if event != "[DONE]"]
        if "error" in choices[-1]:
            return raw, _text(choices[:-1]), choices[-1]["error"]["type"]
        return raw, _text(choices), choices[-1]["choices"][0]["finish_reason"]


def _text(chunks: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def judged(house: House, action: str, **more: str) -> ModerationResult:
    """A new tenant with the policy of the tests and a judge."""
    tenant = f"judged-{next(numbers)}"
    judge = {
        **{"id": "model", "severity": "high", "action": action, "directions": "output"},
        **{"threshold": "0.8", "window": "50", "classifier": "safety"},
        **{"labels": "{safe: null, rude: harassment}"},
        **more,
    }
    written = "{" + ", ".join(f"{key}: {value}" for key, value in judge.items()) + "}"
    bundle = compile_policy(parse_policy({"p": f"{POLICY}judges: [{written}]"}))
    house.moderation.judged_by[bundle.digest] = CompiledPolicy.from_bundle(bundle.content)
    await house.say_policy(tenant, bundle.content, bundle.digest)
    there = ModerationResult(house, tenant)

    async def in_force() -> bool:
        return (await there.chat()).headers.get("x-policy-digest") == bundle.digest

    await eventually(in_force)
    house.moderation.windows_asked()
    return there


TEXTS = {
    "calm": CALM * 5,
    "vile in the second window": CALM * 3 + VILE + CALM,
    "vile at the very end": CALM * 6 + VILE,
    "masked, then vile": f"my {MASKED} {CALM * 2}{VILE}{CALM}",
    "a rule blocks": f"{CALM * 3}{BLOCKED}, {CALM}",
}


@pytest.mark.parametrize("action", ["block", "mask", "flag"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_no_cut_changes_an_answer_or_what_judges_are_asked(
    house: House, action: str, text: str
):
    there = await judged(house, action)
    said, asked = set(), set()
    for size in (1, 7, 50, 64, len(text)):
        house.inference.pieces = pieces_of(text, size)
        said.add((await there.said())[1:])
        asked.add(house.moderation.windows_asked())
        whole = (await there.chat()).json()["choices"][0]
        said.add((whole["message"]["content"], whole["finish_reason"]))
        asked.add(house.moderation.windows_asked())

    assert len(said) == 1
    # What was being asked when the answer ended may differ, and changes nothing.
    assert action == "block" or len(asked) == 1
    (shown, finish_reason) = said.pop()
    if action == "block":
        assert VILE not in shown
        assert finish_reason == ("content_filter" if text != TEXTS["calm"] else "stop")
        if VILE in text:
            assert len(shown) == text.index(VILE) // 50 * 50
    if action == "mask" and VILE in text:
        start = text.index(VILE) // 50 * 50
        assert shown[start : start + 50] == "*" * len(text[start : start + 50])
    if action != "flag" and BLOCKED in text:
        # The window in which the rule blocks was never judged.
        assert len(shown) == text.index(BLOCKED) // 50 * 50
    if action == "flag" and BLOCKED not in text:
        assert shown == text.replace(MASKED, "*" * len(MASKED))


async def test_a_window_does_not_leave_before_its_judge_has_answered(house: House):
    there = await judged(house, "block")
    house.inference.pieces = pieces_of(CALM * 4, 10)
    house.moderation.judges_answer.clear()

    answering = asyncio.create_task(there.said())
    await eventually(lambda: len(house.moderation.windows) == 1)
    assert not answering.done()
    house.moderation.judges_answer.set()

    assert (await answering)[1:] == (CALM * 4, "stop")
    assert [window.start for window in house.moderation.windows] == [0, 50, 100]


async def test_a_blocked_answer_stops_its_engine(house: House):
    there = await judged(house, "block")
    house.inference.pieces = [CALM, VILE, CALM]
    house.inference.endless = True

    raw, text, finish_reason = await there.said()

    assert (text, finish_reason) == ("", "content_filter")
    assert VILE not in raw
    await eventually(lambda: house.inference.in_flight == 0)


async def test_tokens_leave_with_their_window(house: House):
    there = await judged(house, "block")
    house.inference.pieces = pieces_of(CALM * 3 + VILE + CALM, 4)

    raw, text, _ = await there.said(logprobs=True, top_logprobs=1)
    whole = (await there.chat(logprobs=True)).json()["choices"][0]

    tokens = [token["token"] for token in whole["logprobs"]["content"]]
    assert text == whole["message"]["content"] == (CALM * 3)[:50]
    assert "".join(tokens) == text[: len("".join(tokens))]
    assert len(text) - len("".join(tokens)) < 4
    assert VILE not in raw


async def test_tokens_of_a_masked_window_are_masked(house: House):
    there = await judged(house, "mask")
    house.inference.pieces = pieces_of(CALM * 3 + VILE + CALM * 3, 4)

    whole = (await there.chat(logprobs=True, top_logprobs=1)).json()["choices"][0]

    said = "".join(token["token"] for token in whole["logprobs"]["content"])
    assert VILE not in said
    assert said[:48] == whole["message"]["content"][:48]


async def test_a_call_is_judged_as_a_text_of_its_own(house: House):
    tools = [{"type": "function", "function": {"name": "send", "parameters": {}}}]
    for action, ends in (("block", "content_filter"), ("mask", "content_filter"), ("flag", "stop")):
        there = await judged(house, action)
        house.inference.pieces = ["I send it."]
        house.inference.calls = [("send", json.dumps({"text": VILE}))]

        choice = (await there.chat(tools=tools)).json()["choices"][0]

        assert choice["finish_reason"] == ends
        assert ("tool_calls" in choice["message"]) == (action == "flag")


@pytest.mark.parametrize("streamed", [True, False])
async def test_without_an_opinion_nothing_passes_where_the_judge_is_closed(
    house: House, streamed: bool
):
    there = await judged(house, "block")
    house.inference.pieces = pieces_of(CALM * 4, 10)
    house.moderation.judges_away = True

    if streamed:
        _, text, ended = await there.said()
        assert (text, ended) == ("", "server_error")
    else:
        assert (await there.chat()).status_code == 503


async def test_without_an_opinion_an_open_judge_lets_pass(house: House):
    there = await judged(house, "block", on_failure="open")
    house.inference.pieces = [CALM * 4]
    house.moderation.judges_away = True

    assert (await there.said())[1:] == (CALM * 4, "stop")
    answer = (await there.chat(moderation={})).json()
    (result,) = answer["moderation"]["output"]["results"]
    assert (result["flagged"], result["unanswered"]) == (False, ["model"])


async def test_whoever_wants_a_stop_is_stopped_where_a_judge_would_only_flag(house: House):
    there = await judged(house, "flag")
    house.inference.pieces = pieces_of(CALM * 3 + VILE + CALM, 9)
    wanted = {"moderation": {"policy": {"output": {"mode": "block"}}}}

    answer = (await there.chat(**wanted)).json()

    (result,) = answer["moderation"]["output"]["results"]
    assert answer["choices"][0]["message"]["content"] == (CALM * 3)[:50]
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert result["rules"] == [{"id": "model", "category": "harassment"}]
    assert result["category_scores"]["harassment"] == 0.9
