"""A gateway process that stands still under load: whom it let in before is all that may be late."""

import asyncio
import signal
from collections import Counter

import httpx
import pytest
from gateway_support.house import House
from gateway_support.process import running
from modelmill_testkit.waiting import eventually

PLACES, TOKENS, LASTS, ALLOWED = 4, 100, 0.2, 1.5
"""Room, and how long an answer and a caller last."""
CALLERS = 40
QUESTION = {
    "model": "default",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": TOKENS - 10,
}


class Crowd:
    """Callers who ask again as soon as they have heard something."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {token}", "x-request-timeout": str(ALLOWED)}
        self.heard: Counter[int] = Counter()

    async def call(self) -> None:
        """Until cancelled; who is refused comes back when it was told to."""
        while True:
            answer = await self._client.post(
                "/v1/chat/completions", json=QUESTION, headers=self._headers, timeout=30
            )
            self.heard[answer.status_code] += 1
            if answer.status_code == 503:
                await asyncio.sleep(float(answer.headers["retry-after"]))

    async def answered(self, more: int) -> None:
        """Wait for so many further answers."""
        until = self.heard[200] + more
        await eventually(lambda: self.heard[200] >= until)


@pytest.mark.tier("drills")
@pytest.mark.parametrize("pause", [0.5, 1.0, 2.0])
async def test_nobody_is_let_in_who_then_is_late_but_those_in_hand_at_a_pause(
    own_house: House, pause: float
) -> None:
    own_house.inference.lasts = LASTS
    async with running(own_house, tokens_in_hand=str(PLACES * TOKENS)) as (service, client):
        crowd = Crowd(client, own_house.issuer.token())
        async with asyncio.TaskGroup() as callers:
            tasks = [callers.create_task(crowd.call()) for _ in range(CALLERS)]
            await crowd.answered(60)
            for _ in range(3):
                service.process.send_signal(signal.SIGSTOP)
                # The fault itself: nothing of it can be waited for.
                await asyncio.sleep(pause)
                service.process.send_signal(signal.SIGCONT)
                await crowd.answered(40)
            for task in tasks:
                task.cancel()

    assert crowd.heard[504] <= 3 * PLACES
    assert crowd.heard.keys() <= {200, 503, 504}
