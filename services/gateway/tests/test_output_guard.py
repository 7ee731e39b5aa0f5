"""What the guard holds back does not get out, however the engine cuts its text."""

import hashlib
import json

import pytest
from gateway_support.house import BLOCKED, MASKED, House, compiled
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1.moderation_events_pb2 import ModerationRecorded
from modelmill_guard.verdict import Direction
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]


def cuts(text: str) -> list[list[str]]:
    """Every way to cut the text once, and the way that cuts it everywhere."""
    return [[text[:at], text[at:]] for at in range(1, len(text))] + [list(text)]


async def streamed(house: House) -> tuple[str, str, str]:
    """The raw stream, its text, and how it finished."""
    async with house.http() as client:
        body = {"model": "default", "messages": QUESTION, "stream": True}
        raw = (await client.post("/v1/chat/completions", json=body)).text
    events = [line.removeprefix("data: ") for line in raw.split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event)["choices"][0] for event in events]
    text = "".join(chunk["delta"].get("content", "") for chunk in chunks)
    return raw, text, chunks[-1]["finish_reason"]


async def test_a_blocked_phrase_cut_at_every_place_never_leaves(house: House):
    house.inference.finish_reason = "length"
    for pieces in cuts(f"take the {BLOCKED} now"):
        house.inference.pieces = pieces
        raw, text, finish_reason = await streamed(house)

        assert text == "take the ", pieces
        assert finish_reason == "content_filter"
        assert "forb" not in raw
        assert "now" not in raw


async def test_a_spelling_meant_to_pass_does_not(house: House):
    for written in ("FORBIDDEN FRUIT", "forbidden\u200b fruit", "ｆｏｒｂｉｄｄｅｎ fruit"):
        house.inference.pieces = ["ok ", *written]

        _, text, finish_reason = await streamed(house)

        assert (text, finish_reason) == ("ok ", "content_filter")


async def test_a_masked_word_cut_at_every_place_is_masked(house: House):
    for pieces in cuts(f"my {MASKED} is"):
        house.inference.pieces = pieces
        raw, text, finish_reason = await streamed(house)

        assert text == "my ***** is"
        assert finish_reason == "stop"
        assert MASKED not in raw


async def test_almost_a_blocked_phrase_gets_out_whole(house: House):
    house.inference.pieces = list("forbidden fru")

    _, text, finish_reason = await streamed(house)

    assert (text, finish_reason) == ("forbidden fru", "stop")


async def test_the_engine_stops_at_a_block(house: House):
    house.inference.pieces = [f"the {BLOCKED} "]
    house.inference.endless = True

    _, text, finish_reason = await streamed(house)

    assert (text, finish_reason) == ("the ", "content_filter")
    await eventually(lambda: house.inference.cancelled == 1)


async def test_an_answer_that_is_not_streamed_is_guarded_alike(house: House):
    house.inference.pieces = ["the forb", "idden fruit is"]
    async with house.http() as client:
        chat = await client.post(
            "/v1/chat/completions", json={"model": "default", "messages": QUESTION}
        )
        generated = await client.post("/generate", json={"prompt": "hello"})

    choice = chat.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("the ", "content_filter")
    assert chat.json()["usage"] is None
    assert generated.json()["text"] == "the "
    assert generated.headers["x-finish-reason"] == "content_filter"


async def test_a_blocked_input_is_refused_by_rule_and_reaches_no_engine(house: House):
    async with house.http() as client:
        chat = await client.post(
            "/v1/chat/completions",
            json={
                "model": "default",
                "messages": [*QUESTION, {"role": "user", "content": BLOCKED}],
            },
        )
        generated = await client.post("/generate", json={"prompt": f"eat {BLOCKED}"})

    for answer in (chat, generated):
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error["code"] == "content_policy_violation"
        assert error["rules"] == [{"id": "no-eating", "category": "illicit"}]
        assert error["policy_digest"] == compiled()[0].digest
        assert BLOCKED not in answer.text
    assert house.inference.requests == []


async def test_all_turns_are_judged_in_one_call(house: House):
    async with house.http() as client:
        await client.post(
            "/v1/chat/completions",
            json={
                "model": "default",
                "messages": [*QUESTION, {"role": "user", "content": "again"}],
            },
        )
    assert [request.text for request in house.moderation.requests] == ["hello\nagain"]


async def test_masks_on_the_input_reach_the_engine_in_their_turns(house: House):
    async with house.http() as client:
        await client.post(
            "/v1/chat/completions",
            json={
                "model": "default",
                "messages": [
                    {"role": "system", "content": f"a {MASKED}"},
                    {"role": "user", "content": f"{MASKED}\nb"},
                ],
            },
        )
    turns = house.inference.requests[0].conversation.messages
    assert [turn.content for turn in turns] == ["a *****", "*****\nb"]


async def test_a_tenants_own_policy_applies_and_an_invalid_one_refuses_its_requests(house: House):
    allowing = compiled()[1]
    assert allowing.check("anything", Direction.OUTPUT).text == "anything"
    await house.say_policy("closed-tenant", b"{}", "sha256:0")
    body = {"model": "default", "messages": QUESTION}
    async with house.http(tenant="closed-tenant") as closed, house.http() as other:

        async def is_closed() -> bool:
            return (await closed.post("/v1/chat/completions", json=body)).status_code == 503

        await eventually(is_closed)
        answer = await closed.post("/v1/chat/completions", json=body)
        assert "policy" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"]
        assert (await other.post("/v1/chat/completions", json=body)).status_code == 200


async def test_what_rules_matched_in_an_answer_is_on_record_without_the_text(house: House):
    texts = [f"record my {MASKED}", "nothing to record", f"record the {BLOCKED} "]
    for text in texts:
        house.inference.pieces = [text[:9], text[9:]]
        await streamed(house)

    async def both() -> bool:
        return len(await audited(house, texts)) == 2

    await eventually(both)
    masked, blocked = await audited(house, texts)
    assert (masked.action, list(masked.rule_ids)) == (pb.ACTION_MASK, ["no-number"])
    assert (blocked.action, list(blocked.rule_ids)) == (pb.ACTION_BLOCK, ["no-eating"])
    assert (blocked.direction, blocked.tenant) == (pb.DIRECTION_OUTPUT, "acme")
    assert blocked.policy_digest == compiled()[0].digest
    assert "record" not in str(blocked)


async def audited(house: House, texts: list[str]) -> list[ModerationRecorded]:
    hashes = {hashlib.sha256(text.encode()).hexdigest() for text in texts}
    stored = [stored.body async for stored in house.bus.replay(["audit.gateway"])]
    return [record for record in stored if record.text_sha256 in hashes]
