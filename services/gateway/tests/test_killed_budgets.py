"""What a killed gateway had used of a budget, as its next start settles it: once, and bounded."""

import signal
from pathlib import Path

import httpx
import openai
import pytest
from gateway_support.budgets import budget, limited_key
from gateway_support.faulty_gateway import POINTS
from gateway_support.house import House
from gateway_support.process import running, running_until
from modelmill_gateway.domain.chat import ChatCall, Sampling, Turn
from modelmill_gateway.domain.ledger.budget import prompt_bound

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.tier("drills")]

MAX_TOKENS = 50
PROMPT = 7
USED = PROMPT + 3
"""Prompt and answer, as the engine counts them."""
BOUND = prompt_bound(ChatCall("default", (Turn("user", "hello"),), Sampling()))
"""What counts of the prompt as long as the engine has not told."""
SETTLED = {
    **dict.fromkeys(("admitted", "judged"), (0, 0)),
    **dict.fromkeys(("calling", "called", "first_piece"), (BOUND, BOUND)),
    **dict.fromkeys(("opening", "opened"), (PROMPT + 1, PROMPT + 1)),
    "mid_stream": (PROMPT + 1, USED),
    "ending": (USED, USED),
    **dict.fromkeys(("before_usage", "after_usage", "before_done", "after_done"), (USED, USED)),
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


async def killed_at(house: House, point: str, key: str, **ledger: str) -> None:
    async with running_until(house, point, **ledger) as (service, _):
        await stream_until_killed(f"http://127.0.0.1:{service.ports['http']}/v1", key)
        assert await service.ended() == -signal.SIGKILL


async def spent_after_a_start(house: House, keys: dict[str, str], **ledger: str) -> dict[str, int]:
    """Tokens by point, as the records have them when a gateway has started and ended."""
    async with running(house, **ledger) as (service, _):
        assert await service.stop() == 0
    spent = {}
    for point, key_id in keys.items():
        found = await budget(house, key_id)
        assert (found.leased.tokens, found.leased.parallel) == (0, 0), point
        spent[point] = found.spent_tokens
    return spent


@pytest.mark.timeout(480)
async def test_whatever_step_a_gateway_dies_at_its_use_is_settled_once_by_its_next_starts(
    house: House, tmp_path: Path
):
    """Each start but the first settles what the one before had left, so that they share it."""
    assert set(SETTLED) == set(POINTS)
    house.inference.counts = True
    ledger, keys = {"ledger_folder": str(tmp_path / "ledger")}, {}
    for point in POINTS:
        keys[point], client = await limited_key(house, tokens=100_000)
        key = client.headers["authorization"].removeprefix("Bearer ")
        await client.aclose()
        await killed_at(house, point, key, **ledger)

    spent = await spent_after_a_start(house, keys, **ledger)
    assert await spent_after_a_start(house, keys, **ledger) == spent, "settled again"
    wrong = {
        point: spent[point]
        for point, (least, most) in SETTLED.items()
        if not least <= spent[point] <= most
    }
    assert not wrong
