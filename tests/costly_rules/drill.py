"""One tenant's costly rules beside another tenant's chats, before a real gateway."""

import asyncio
import random
import string
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb

from tests.overload.paced_inference import PacedInference
from tests.overload.site import MODEL, Site, running_site

QUIET, COSTLY = "one", "two"
"""The tenant that is measured, and the one beside it."""
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
MOST_RATIO, MOST_SECONDS = 1.5, 0.25


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
class Beside:
    """Chats of the quiet tenant, in seconds, alone and beside the costly one."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    costly: int = 0
    """Requests of the costly tenant that were answered."""
    refused: list[str] = field(default_factory=list)
    """Other ends than an answer, of either."""

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return float(np.median(self.beside) / np.median(self.alone))

    def broken_promises(self) -> list[str]:
        """One line for each; empty when all were kept."""
        rules = (
            (self.costly > 0, "nothing costly was answered, so nothing was shown"),
            (self.ratio <= MOST_RATIO, f"p50 is {self.ratio:.2f} times of that alone"),
            (max(self.beside) <= MOST_SECONDS, f"the longest took {max(self.beside):.3f} s"),
            (not self.refused, f"other ends: {self.refused[:3]}"),
        )
        return [said for kept, said in rules if not kept]


async def costly_beside(folder: Path, patterns: tuple[str, ...], seconds: float) -> Beside:
    """The quiet tenant's chats for so long alone, and then beside whole and streamed ones."""
    run = Beside()
    policies = {COSTLY: policy_of(patterns)}
    async with (
        running_site(
            folder, RandomInference(), tokens_in_hand=1_000_000, policies=policies
        ) as site,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.port}", timeout=60) as client,
    ):
        asking = _Asking(site, client, run)
        # The first ones open connections and are nobody's measure.
        await asking.quiet(seconds / 4, [])
        await asking.quiet(seconds, run.alone)
        costly = [
            asyncio.create_task(asking.costly(number, stream=stream))
            for stream in (False, True)
            for number in range(AT_ONCE)
        ]
        await asyncio.sleep(0)
        await asking.quiet(seconds, run.beside)
        for task in costly:
            task.cancel()
        await asyncio.gather(*costly, return_exceptions=True)
    return run


class _Asking:
    def __init__(self, site: Site, client: httpx.AsyncClient, run: Beside) -> None:
        self._heads = {
            tenant: {"authorization": f"Bearer {token}"} for tenant, token in site.tokens.items()
        }
        self._client = client
        self._run = run

    async def quiet(self, seconds: float, taken: list[float]) -> None:
        """One chat of 1 KB after the other."""
        source, end = random.Random(1), time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            await self._ask(QUIET, random_text(source, 1000), tokens=4, stream=False)
            taken.append(time.perf_counter() - begun)

    async def costly(self, number: int, *, stream: bool) -> None:
        """Texts of 4 kB in a row, or long streams, until cancelled."""
        source = random.Random(number)
        while True:
            text = random_text(source, 20 if stream else TEXT_CHARACTERS)
            tokens = ANSWER_TOKENS if stream else 4
            await self._ask(COSTLY, text, tokens=tokens, stream=stream)
            self._run.costly += 1

    async def _ask(self, tenant: str, text: str, *, tokens: int, stream: bool) -> None:
        turns = [{"role": "user", "content": text}]
        body = {"model": MODEL, "messages": turns, "max_tokens": tokens, "stream": stream}
        answer = await self._client.post(
            "/v1/chat/completions", json=body, headers=self._heads[tenant]
        )
        if not answer.is_success or '"error"' in answer.text:
            self._run.refused.append(f"{answer.status_code} {answer.text[:200]}")
