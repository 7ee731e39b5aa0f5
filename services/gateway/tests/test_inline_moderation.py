"""Verdicts beside an answer that asks for them with `moderation`."""

from typing import Any

import openai
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import BLOCKED, FLAGGED, MASKED, House
from gateway_support.verdicts import DIGEST, FINE, MODEL, requested, streamed, text_of, told, whole
from grpc import StatusCode
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Asked for ----------------------------------------------------------------------------------------


async def test_verdicts_on_input_and_output_come_with_an_answer_that_asks_for_them(house: House):
    house.inference.pieces = [f"a {FLAGGED}", f" and a {MASKED}"]
    answer = await whole(
        house, f"my {FLAGGED}", moderation=requested(input="score", output="score")
    )

    assert answer.choices[0].message.content == f"a {FLAGGED} and a *****"
    assert answer.moderation is not None
    assert told(answer.moderation) == (
        [(True, False, ["note-locks"])],
        [(True, False, ["note-locks", "no-number"])],
    )
    (result,) = answer.moderation.output.results
    assert (result.categories["illicit"], result.categories["hate"]) == (True, False)
    assert result.category_scores["pii"] == 1.0


@pytest.mark.parametrize("asked", [{"model": MODEL}, requested(input="score"), requested()])
async def test_a_side_that_is_not_named_is_scored(house: House, asked: dict[str, Any]):
    house.inference.pieces = [f"a {FLAGGED}"]
    answer = await whole(house, moderation=asked)

    assert answer.choices[0].finish_reason == "stop"
    assert told(answer.moderation) == ([FINE], [(True, False, ["note-locks"])])


async def test_a_stream_has_its_verdicts_in_a_chunk_before_the_end(house: House):
    chunks = await streamed(
        house, moderation=requested(output="score"), stream_options={"include_usage": True}
    )
    *_, verdicts, end, usage = chunks

    assert (verdicts.choices, verdicts.usage) == ([], None)
    assert told(verdicts.moderation) == ([FINE], [FINE])
    assert end.choices[0].finish_reason == "stop"
    assert usage.usage is not None
    assert [chunk.moderation for chunk in chunks if chunk is not verdicts] == [None] * 6


async def test_who_asks_for_nothing_and_is_not_stopped_hears_no_verdict(house: House):
    house.inference.pieces = [f"a {FLAGGED}"]

    assert (await whole(house)).moderation is None
    assert (await whole(house, moderation=None)).moderation is None
    assert not any(chunk.moderation for chunk in await streamed(house))


async def test_judges_without_whose_opinion_an_input_passed_are_named(house: House):
    house.moderation.unanswered = ["unsafe-model"]
    answer = await whole(house, moderation=requested(input="score"))
    (result,) = answer.moderation.input.results
    assert (result.flagged, result.unanswered) == (False, ["unsafe-model"])

    async with grpc_stub(house) as stub:
        scored = asking(input=pb.MODERATION_MODE_SCORE)
        said = await stub.Chat(pb.ChatRequest(call=scored), timeout=CALL_SECONDS)
    assert list(said.verdicts.input.unanswered_judges) == ["unsafe-model"]


@pytest.mark.parametrize("asked", [{}, {"moderation": requested(output="score")}])
async def test_the_sdks_own_helper_reads_a_stopped_stream_and_says_that_it_was_stopped(
    house: House, asked: dict[str, Any]
):
    house.inference.pieces = [f"the {BLOCKED}"]
    messages = [{"role": "user", "content": "hello"}]
    helper = house.openai().chat.completions.stream(model="default", messages=messages, **asked)
    async with helper as stream:
        text = [event.delta async for event in stream if event.type == "content.delta"]
        with pytest.raises(openai.ContentFilterFinishReasonError):
            await stream.get_final_completion()

    assert "".join(text) == "the "


# Blocking beyond the policy -----------------------------------------------------------------------


@pytest.mark.parametrize("word", [FLAGGED, MASKED])
async def test_an_input_that_any_rule_matches_is_refused_when_asked_for(house: House, word: str):
    with pytest.raises(openai.BadRequestError) as refusal:
        await whole(house, f"my {word}", moderation=requested(input="block"))

    assert refusal.value.code == "content_policy_violation"
    assert word not in refusal.value.message
    assert house.inference.requests == []
    await whole(house, f"my {word}", moderation=requested(output="block"))
    await whole(house, "hello", moderation=requested(input="block"))


@pytest.mark.parametrize(("word", "rule"), [(FLAGGED, "note-locks"), (MASKED, "no-number")])
async def test_an_output_ends_before_what_any_rule_matches_however_it_is_cut(
    house: House, word: str, rule: str
):
    said = f"take a {word} now"
    for at in range(1, len(said)):
        house.inference.pieces = [said[:at], said[at:]]
        chunks = await streamed(house, moderation=requested(output="block"))

        assert text_of(chunks) == "take a ", house.inference.pieces
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        assert told(chunks[-2].moderation) == ([FINE], [(True, True, [rule])])


async def test_what_the_policy_blocks_stays_blocked_whatever_is_asked_for(house: House):
    for mode in ("score", "block"):
        with pytest.raises(openai.BadRequestError):
            await whole(house, f"eat {BLOCKED}", moderation=requested(input=mode))
        house.inference.pieces = [f"eat {BLOCKED}"]
        answer = await whole(house, moderation=requested(output=mode))
        assert answer.choices[0].finish_reason == "content_filter"
        assert answer.choices[0].message.content == "eat "


async def test_a_call_is_scored_and_stopped_like_text(house: House):
    tool = {"type": "function", "function": {"name": "buy", "parameters": {"type": "object"}}}
    house.inference.calls = [("buy", f'{{"what": "a {FLAGGED[:4]}\\u0020{FLAGGED[5:]}"}}')]

    scored = await whole(house, tools=[tool], moderation=requested(output="score"))
    assert len(scored.choices[0].message.tool_calls or ()) == 1
    assert told(scored.moderation)[1] == [(True, False, ["note-locks"])]
    stopped = await whole(house, tools=[tool], moderation=requested(output="block"))
    assert stopped.choices[0].message.tool_calls is None
    assert told(stopped.moderation)[1] == [(True, True, ["note-locks"])]


async def test_what_json_or_tokens_spell_is_scored_and_stopped_like_text(house: House):
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    house.inference.pieces = ['{"a": "', FLAGGED.replace(" ", "\\u0020"), '"}']

    for fields in ({"response_format": form}, {"logprobs": True, "response_format": form}):
        scored = await whole(house, **fields, moderation=requested(output="score"))
        assert scored.choices[0].finish_reason == "stop"
        assert told(scored.moderation)[1] == [(True, False, ["note-locks"])]
        stopped = await whole(house, **fields, moderation=requested(output="block"))
        assert stopped.choices[0].message.content == '{"a": "'
        assert told(stopped.moderation)[1] == [(True, True, ["note-locks"])]


async def test_a_text_has_the_same_verdict_beside_an_answer_and_by_itself(house: House):
    for text in ("hello", f"my {FLAGGED} and {MASKED}"):
        beside = await whole(house, text, moderation=requested())
        alone = await house.openai().moderations.create(input=text)
        ours = beside.moderation.input.results[0].model_dump(exclude={"type", "model"})
        by_itself = alone.results[0].model_dump(by_alias=True, exclude_none=True)
        assert len(by_itself.pop("matches")) == len(ours["rules"])
        assert ours == by_itself


# Over gRPC ----------------------------------------------------------------------------------------


def asking(content: str = "hello", **modes: int) -> pb.ChatCall:
    messages = [ChatMessage(role="user", content=content)]
    moderation = pb.ChatModeration(**modes) if modes else None
    return pb.ChatCall(model="default", messages=messages, moderation=moderation)


def verdicts(message: pb.ChatVerdicts) -> tuple[Any, ...]:
    """As `told`, the input's first."""
    assert {it.policy_digest for it in (message.input, *message.outputs)} == {DIGEST}
    return tuple(
        (it.flagged, it.blocked, [rule.id for rule in it.rules])
        for it in (message.input, *message.outputs)
    )


async def test_over_grpc_verdicts_are_the_same(house: House):
    house.inference.pieces = [f"a {FLAGGED}"]
    scored = asking(output=pb.MODERATION_MODE_SCORE)
    async with grpc_stub(house) as stub:
        answer = await stub.Chat(pb.ChatRequest(call=scored), timeout=CALL_SECONDS)
        silent = await stub.Chat(pb.ChatRequest(call=asking()), timeout=CALL_SECONDS)

    assert verdicts(answer.verdicts) == (FINE, (True, False, ["note-locks"]))
    assert not silent.HasField("verdicts")


async def test_over_grpc_a_stream_that_is_stopped_says_why_before_its_end(house: House):
    house.inference.pieces = [f"a {FLAGGED}"]
    strict = asking(output=pb.MODERATION_MODE_BLOCK)
    async with grpc_stub(house) as stub:
        call = stub.StreamChat(pb.StreamChatRequest(call=strict), timeout=CALL_SECONDS)
        *texts, why, end = [response async for response in call]

    assert "".join(each.text_delta for each in texts) == "a "
    assert verdicts(why.verdicts) == (FINE, (True, True, ["note-locks"]))
    assert (why.text_delta, end.end.finish_reason) == ("", "content_filter")


async def test_over_grpc_an_input_that_any_rule_matches_is_refused_when_asked_for(house: House):
    strict = asking(f"my {FLAGGED}", input=pb.MODERATION_MODE_BLOCK)
    async with grpc_stub(house) as stub, refused(StatusCode.INVALID_ARGUMENT, "note-locks"):
        await stub.Chat(pb.ChatRequest(call=strict), timeout=CALL_SECONDS)


async def test_over_grpc_an_unknown_mode_is_named(house: House):
    async with grpc_stub(house) as stub, refused(StatusCode.INVALID_ARGUMENT, "moderation.output"):
        await stub.Chat(pb.ChatRequest(call=asking(output=9)), timeout=CALL_SECONDS)
