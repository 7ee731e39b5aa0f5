"""One tenant's costly rules beside another tenant's chats, before a real gateway."""

import asyncio
import random
import string
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill_testkit.waiting import eventually

from tests.overload.paced_inference import PacedInference
from tests.overload.site import MODEL, Site, running_site

QUIET, COSTLY, CHEAP = "one", "two", "three"
"""The tenant that is measured, and those beside it, one at a time."""
PATTERNS = (
    "(?:[a-z]?[a-z0-9 ]?){120}z",
    "(?:[a-m].{20}[n-z].{20}){4}",
    "(?:[a-z]{1,3}[a-m].{2,10}){10}q",
)
"""Each has so many ways to match that nearly every character of a text is a new state of it."""
EVERYWHERE = ("[a-z]", "[a-z]{2}", "[a-z0-9 ]")
"""Each matches at nearly every character."""
TEXT_CHARACTERS, ANSWER_TOKENS = 4000, 200
AT_ONCE = 3
ROUNDS = 4


def policy_of(patterns: tuple[str, ...]) -> str:
    """Rules that mask what they find."""
    head = {"category": "c", "severity": "low", "action": "mask", "directions": "both"}
    rules = [
        {"id": f"costly-{number}", "pattern": pattern} | head
        for number, pattern in enumerate(patterns)
    ]
    return yaml.safe_dump({"rules": rules})


class RandomInference(PacedInference):
    """Says random letters, four characters at a time, at once."""

    def __init__(self) -> None:
        super().__init__(places=1000, seconds_a_token=0.0)
        self._random = random.Random(7)

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        tokens = request.options.max_new_tokens
        for _ in range(tokens):
            text = random_text(self._random, 4)
            yield pb.GenerateResponse(text_delta=text, version_id=request.model)
        usage = TokenUsage(prompt_tokens=8, completion_tokens=tokens)
        end = pb.GenerationEnd(finish_reason="length", usage=usage, version_id=request.model)
        yield pb.GenerateResponse(end=end)


def random_text(source: random.Random, length: int) -> str:
    """Letters and spaces, never the same twice."""
    return "".join(source.choices(string.ascii_lowercase + "  ", k=length))


@dataclass
class Turns:
    """Chats of the quiet tenant, in seconds, round by round: alone, and beside others' load."""

    alone: list[list[float]] = field(default_factory=list)
    floor: list[list[float]] = field(default_factory=list)
    """Beside the same callers, judged by the shared policy, in which nothing matches."""
    beside: list[list[float]] = field(default_factory=list)
    """Beside them, judged by the costly one."""
    answered: Counter[str] = field(default_factory=Counter)
    """Requests of others that were answered, by their tenant."""
    refused: list[str] = field(default_factory=list)
    """Other ends than an answer, of anybody."""


async def turns_of(folder: Path, patterns: tuple[str, ...], seconds: float) -> Turns:
    """So many seconds of each turn, in rounds, so that what the machine does meanwhile is in all.

    The callers beside the quiet tenant ask for the same in the floor and in the costly turn, and
    wait for each answer: whoever is answered sooner asks more.
    """
    turns, policies, each = Turns(), {COSTLY: policy_of(patterns)}, seconds / ROUNDS
    async with (
        running_site(
            folder, RandomInference(), tokens_in_hand=1_000_000, policies=policies
        ) as site,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=60) as client,
    ):
        asking = _Asking(site, client, turns)
        # The first ones open connections and are nobody's measure.
        await asking.quiet(each)
        for _ in range(ROUNDS):
            turns.alone.append(await asking.quiet(each))
            for tenant, taken in ((CHEAP, turns.floor), (COSTLY, turns.beside)):
                async with asking.others(tenant):
                    taken.append(await asking.quiet(each))
    return turns


class _Asking:
    def __init__(self, site: Site, client: httpx.AsyncClient, turns: Turns) -> None:
        self._heads = {
            tenant: {"authorization": f"Bearer {token}"} for tenant, token in site.tokens.items()
        }
        self._site = site
        self._client = client
        self._turns = turns

    async def quiet(self, seconds: float) -> list[float]:
        """One chat of 1 KB after the other, and what each took."""
        source, end, taken = random.Random(1), time.monotonic() + seconds, list[float]()
        while time.monotonic() < end:
            begun = time.perf_counter()
            await self._ask(QUIET, random_text(source, 1000), tokens=4, stream=False)
            taken.append(time.perf_counter() - begun)
        return taken

    @asynccontextmanager
    async def others(self, tenant: str) -> AsyncIterator[None]:
        """A tenant's callers, until the block ends and nothing of theirs is in hand any more."""
        callers = [
            asyncio.create_task(self._others(tenant, number, stream=stream))
            for stream in (False, True)
            for number in range(AT_ONCE)
        ]
        await asyncio.sleep(0)
        try:
            yield
        finally:
            for task in callers:
                task.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            await eventually(self._is_idle)

    async def _is_idle(self) -> bool:
        return not any((await self._site.held()).values())

    async def _others(self, tenant: str, number: int, *, stream: bool) -> None:
        """Texts of 4 kB in a row, or long streams, until cancelled."""
        source = random.Random(number)
        while True:
            text = random_text(source, 20 if stream else TEXT_CHARACTERS)
            tokens = ANSWER_TOKENS if stream else 4
            await self._ask(tenant, text, tokens=tokens, stream=stream)
            self._turns.answered[tenant] += 1

    async def _ask(self, tenant: str, text: str, *, tokens: int, stream: bool) -> None:
        turns = [{"role": "user", "content": text}]
        body = {"model": MODEL, "messages": turns, "max_tokens": tokens, "stream": stream}
        answer = await self._client.post(
            "/v1/chat/completions", json=body, headers=self._heads[tenant]
        )
        if not answer.is_success or '"error"' in answer.text:
            self._turns.refused.append(f"{answer.status_code} {answer.text[:200]}")
