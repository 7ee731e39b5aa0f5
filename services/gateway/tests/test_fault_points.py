"""The gateway killed between any two steps of a request: an error or a whole answer, no silence."""

import signal

import httpx
import openai
import pytest
from gateway_support.faulty_gateway import POINTS
from gateway_support.house import House
from gateway_support.process import running_until
from gateway_support.usage import last_usage
from modelmill_testkit.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.tier("drills")]

QUESTION = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
SAID = "Hello, world"
ANSWERED = ("after_done",)
"""Points at which the client may have its whole answer."""
RECORDED = ("before_done", "after_done")
"""Points behind the record of what was used, which may still have been lost with the process."""
CASES = [
    *((point, True) for point in POINTS),
    *((point, False) for point in ("called", "opened", "before_usage", "after_done")),
]


def tenant_of(point: str, *, stream: bool) -> str:
    return f"{point}-{stream}".lower().replace("_", "-")


async def heard(client: openai.AsyncOpenAI, *, stream: bool) -> str | None:
    """What the client takes for the answer; None when it sees that there is none."""
    try:
        if not stream:
            answer = await client.chat.completions.create(**QUESTION)
            return str(answer.choices[0].message.content)
        said, finished = "", False
        async for chunk in await client.chat.completions.create(**QUESTION, stream=True):
            said += chunk.choices[0].delta.content or ""
            finished |= chunk.choices[0].finish_reason == "stop"
        assert finished, f"the stream ended without an end and without an error after {said!r}"
        return said
    except (openai.APIError, httpx.TransportError):
        return None


@pytest.mark.parametrize(("point", "stream"), CASES)
async def test_a_client_of_a_killed_gateway_hears_an_error_or_a_whole_answer(
    house: House, point: str, stream: bool
):
    tenant = tenant_of(point, stream=stream)
    async with running_until(house, point) as (service, _):
        url = f"http://127.0.0.1:{service.ports['http']}/v1"
        token = house.issuer.token(tenant=tenant)
        async with openai.AsyncOpenAI(base_url=url, api_key=token, max_retries=0) as client:
            answer = await heard(client, stream=stream)
        assert await service.ended() == -signal.SIGKILL

    assert answer in ((None, SAID) if point in ANSWERED else (None,))
    # Inference is left with nothing to do for a client that is gone.
    await eventually(lambda: house.inference.in_flight == 0)
    recorded = await last_usage(house.bus, tenant)
    assert recorded is None or point in RECORDED
