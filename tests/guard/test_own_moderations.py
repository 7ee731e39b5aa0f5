"""The gateway's own `/v1/moderations` is a content-safety service as any other, of whoever asks it.

One tenant's judge is here what another tenant's policy says, over HTTP and back through moderation.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_guard.bundle import compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_testkit.waiting import eventually

from tests.guard.house import SERVICE, SERVICE_TENANT, TENANT, House, run_house
from tests.put_policy import put_policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = f"""
judges:
- {{id: ours, service: {SERVICE}, categories: {{hate: hate}}, severity: high, action: block,
   directions: both, threshold: 1, window: 50}}
"""
SERVICE_POLICY = """
rules:
- {id: loathing, category: hate, severity: low, action: flag, directions: input,
   keywords: [loathing]}
"""
FINE = "grass and river, " * 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with run_house(tmp_path_factory.mktemp("ours")) as running:
        for tenant, written in ((SERVICE_TENANT, SERVICE_POLICY), (TENANT, POLICY)):
            await put_policy(running.bus, tenant, compile_policy(parse_policy({"p": written})))

        async def guards() -> bool:
            answer = await running.chat("loathing")
            running.said.scripts["say it"] = ["loathing"]
            return answer.status == 400 and (await running.chat("say it")).text == ""

        await eventually(guards)
        yield running


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat"])
async def test_it_judges_inputs_and_answers_of_each_method(house: House, method: str) -> None:
    house.said.prompts.clear()
    assert (await getattr(house, method)(FINE + "full of loathing")).status == 400
    assert house.said.prompts == []

    house.said.scripts[FINE] = [FINE, "full of lo", "athing and more"]
    answer = await getattr(house, method)(FINE)
    assert house.said.prompts == [FINE]
    assert (answer.status, answer.finish_reason) == (200, "content_filter")
    assert answer.text == FINE[:50]


async def test_check_names_the_judge_and_its_window(house: House) -> None:
    request = pb.CheckRequest(tenant=TENANT, text=FINE + "loathing", direction=pb.DIRECTION_OUTPUT)
    (match,) = (await house.moderation.Check(request, timeout=60)).verdict.matches
    assert (match.rule_id, match.category, match.score) == ("ours", "hate", 1.0)
    assert (match.start, match.end) == (50, 59)
