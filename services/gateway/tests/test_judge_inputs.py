"""Inputs that rules alone judge are judged here: the same verdict, and moderation is not asked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from gateway_support.house import BLOCKED, FLAGGED, MASKED, POLICY, House, run_house
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_testkit.waiting import eventually

HERE_CHARS = 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def near(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house that judges short inputs itself."""
    folder = tmp_path_factory.mktemp("near")
    async with run_house(folder, rules_here_chars=HERE_CHARS) as house:
        yield house


@pytest.fixture
def house(near: House) -> House:
    near.inference.reset()
    near.moderation.reset()
    return near


def chat(house: House, content: str, **claims: Any) -> Any:
    body = {"model": "default", "messages": [{"role": "user", "content": content}]}
    return house.http(**claims).post("/v1/chat/completions", json=body)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("text", [f"eat the {BLOCKED}", f"my {MASKED} is", f"a {FLAGGED}", "fine"])
async def test_short_and_long_inputs_get_the_same_verdict_and_only_long_ones_are_asked_about(
    house: House, text: str
):
    short = await chat(house, text)
    assert house.moderation.requests == []
    said = [turn.conversation.messages[-1].content for turn in house.inference.requests]

    long_text = text + "." * HERE_CHARS
    long = await chat(house, long_text)
    assert [request.text for request in house.moderation.requests] == [long_text]
    asked = house.inference.requests[len(said) :]

    assert short.status_code == long.status_code
    assert short.headers.get("x-policy-digest") == long.headers.get("x-policy-digest")
    told = [turn.conversation.messages[-1].content.rstrip(".") for turn in asked]
    assert said == told
    if short.status_code == 400:
        keep = ("message", "code", "param")
        first, second = short.json()["error"], long.json()["error"]
        assert {key: first[key] for key in keep} == {key: second[key] for key in keep}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("text", [f"my {MASKED} and {MASKED}", f"a {FLAGGED}, a {BLOCKED}"])
async def test_short_and_long_texts_are_told_the_same_places(house: House, text: str):
    told = []
    for given in (text, text + "." * HERE_CHARS):
        answer = await house.http().post("/v1/moderations", json={"input": given})
        told.append(answer.json()["results"][0]["matches"])

    assert len(house.moderation.requests) == 1
    assert told[0] == told[1] != []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_matched_here_is_on_record_like_what_moderation_judged(house: House):
    await chat(house, f"my {MASKED}", tenant="noted")

    async def recorded() -> bool:
        records = [one.body async for one in house.bus.replay(["audit.gateway"])]
        return [list(one.rule_ids) for one in records if one.tenant == "noted"] == [["no-number"]]

    await eventually(recorded)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_policy_with_a_judge_for_inputs_is_asked_about_every_text(house: House):
    judge = (
        "judges:\n  - {id: unsafe, severity: high, action: block, directions: input,"
        " classifier: some-model, labels: {safe: null, harm: harm}, threshold: 0.8}\n"
    )
    bundle = compile_policy(parse_policy({"p": judge + POLICY}))
    await house.say_policy("judged", bundle.content, bundle.digest)

    async def is_in_force() -> bool:
        answer = await chat(house, "hi", tenant="judged")
        return answer.headers.get("x-policy-digest") == bundle.digest

    await eventually(is_in_force)
    house.moderation.requests.clear()
    await chat(house, "short", tenant="judged")
    assert [request.text for request in house.moderation.requests] == ["short"]
