"""What a chat asks for beside its answer holds for disguised words, between real processes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_guard.verdict import Direction

from tests.guard.corpus.rows import policy
from tests.guard.house import MODEL, House, run_house
from tests.guard.judged import expected
from tests.guard.test_methods import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRICT = {"policy": {"input": {"mode": "block"}, "output": {"mode": "block"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with run_house(tmp_path_factory.mktemp("house")) as running:
        yield running


async def chat(house: House, prompt: str, moderation: dict[str, Any]) -> Any:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": MODEL, "messages": messages, "moderation": moderation}
    return (await house.http.post("/v1/chat/completions", json=body)).json()


def rules_of(result: dict[str, Any]) -> list[str]:
    return [rule["id"] for rule in result["rules"]]


def in_order(matches: Any) -> list[str]:
    """Rules of matches, each once."""
    return list(dict.fromkeys(match.rule_id for match in matches))


async def test_a_strict_answer_shows_nothing_that_a_rule_matches(house: House) -> None:
    async def stream(prompt: str) -> tuple[str, pb.ChatVerdict]:
        requested = pb.ChatModeration(output=pb.MODERATION_MODE_BLOCK)
        call = pb.ChatCall(model=MODEL, moderation=requested)
        call.messages.add(role="user", content=prompt)
        responses = house.gateway_rpc.StreamChat(pb.StreamChatRequest(call=call), timeout=60)
        said = [response async for response in responses]
        (verdict,) = said[-2].verdicts.outputs
        return "".join(each.text_delta for each in said), verdict

    for number, row in enumerate(sample()):
        wanted = expected(policy().strict(), row.text, Direction.OUTPUT)
        for pieces in ([row.text], list(row.text)):
            house.said.scripts[prompt := f"say {number}"] = pieces
            body = await chat(house, prompt, STRICT)
            (result,) = body["moderation"]["output"]["results"]
            shown, verdict = await stream(prompt)

            assert body["choices"][0]["message"]["content"] == shown == wanted.approved, row
            assert rules_of(result) == [rule.id for rule in verdict.rules]
            assert rules_of(result) == in_order(wanted.verdict.matches)
            assert result["blocked"] == verdict.blocked == bool(wanted.verdict.matches)


async def test_a_strict_input_is_refused_by_whatever_rule_matches_and_else_has_its_verdict(
    house: House,
) -> None:
    for row in sample():
        wanted = expected(policy(), row.text, Direction.INPUT).verdict.matches
        house.said.prompts.clear()
        body = await chat(house, row.text, STRICT)

        if wanted:
            assert rules_of(body["error"]) == in_order(wanted), row
            assert house.said.prompts == []
        else:
            assert body["moderation"]["input"]["results"][0]["flagged"] is False
            assert house.said.prompts == [row.text]
