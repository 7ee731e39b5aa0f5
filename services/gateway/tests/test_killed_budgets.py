"""What a killed gateway had used of a budget, as its next start settles it: once, and bounded."""

import signal
from pathlib import Path

import httpx
import openai
import pytest
from gateway.domain.chat import ChatCall, Sampling, Turn
from gateway.domain.ledger.bounds import prompt_bound
from gateway_support.budgets import budget, limited_key
from gateway_support.house import House
from gateway_support.process import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_TOKENS = 50
USED = 10
"""Prompt and answer, as the engine counts them."""
BOUND = prompt_bound(ChatCall("default", (Turn("user", "hello"),), Sampling()))
"""What counts of the prompt as long as the engine has not told."""
SETTLED = {
    "judged": (0, 0),
    "called": (1, BOUND),
    "mid_stream": (1, BOUND + 3),
    "before_usage": (USED, USED),
    "after_done": (USED, USED),
}
"""By where it died: the least and the most that is right."""


async def stream_until_killed(url: str, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        try:
            chunks = await client.chat.completions.create(
                model="default",
                messages=[{"role": "user", "content": "hello"}],
                max_tokens=MAX_TOKENS,
                stream=True,
            )
            async for _ in chunks:
                pass
        except (openai.APIError, httpx.TransportError):
            return


@pytest.mark.parametrize("point", SETTLED)
async def test_a_killed_gateways_use_is_settled_once_by_its_next_start(
    house: House, tmp_path: Path, point: str
):
    key_id, client = await limited_key(house, tokens=100_000)
    key = client.headers["authorization"].removeprefix("Bearer ")
    await client.aclose()
    ledger = {"ledger_folder": str(tmp_path / "ledger")}
    faults = {"fault_points": "true", "fault_at": point}
    async with running(house, **faults, **ledger) as (service, _):
        await stream_until_killed(f"http://127.0.0.1:{service.ports['http']}/v1", key)
        assert await service.ended() == -signal.SIGKILL

    spent = []
    for _ in range(2):
        async with running(house, **ledger) as (service, _):
            assert await service.stop() == 0
        found = await budget(house, key_id)
        assert (found.leased.tokens, found.leased.parallel) == (0, 0)
        spent.append(found.spent_tokens)

    assert spent[0] == spent[1], "a second start settled it again"
    least, most = SETTLED[point]
    assert least <= spent[0] <= most
