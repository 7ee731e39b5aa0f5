"""Chats of one tenant, alone and beside the attack of others, and what is measured of them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from modelmill_testkit.hostile_models import TRIGGER, X_TRIGGER

from tests.hostile.site import GOOD, GOOD_TENANT, Site

CHATS_A_SECOND = 5.0
COUNTS_A_SECOND = 20.0
PAUSE_SECONDS = 0.5
"""Between two attempts of one attacker, who does not heed Retry-After."""
PROVEN = 5
"""Chats before anything is measured: a version is trusted after three."""


@dataclass
class Turn:
    """What the chats of the good model were like for some time."""

    chats: list[float] = field(default_factory=list)
    """Seconds."""
    counts: list[float] = field(default_factory=list)
    """Seconds of prompts that were only rendered and encoded."""
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Turn") -> None:
        """Take another turn in."""
        self.chats += other.chats
        self.counts += other.counts
        self.failed += other.failed


@dataclass
class Outcome:
    """The whole drill."""

    alone: Turn = field(default_factory=Turn)
    beside: Turn = field(default_factory=Turn)
    attacks: Counter[str] = field(default_factory=Counter)
    """How hostile requests ended."""
    loaded: int = 0
    """Hostile models that were loaded, because they do well at first."""
    attack_seconds: float = 0.0
    hostile_cpu_seconds: float = 0.0
    """Of the tokenizer processes during the attack, less what they take for the good model."""


async def drill(site: Site, seconds: float) -> Outcome:
    """Half the time alone before the attack and half behind it, the whole time beside it."""
    outcome = Outcome()
    for number in range(PROVEN):
        ended = await site.chat(GOOD_TENANT, GOOD, f"hello {number}")
        assert ended == "answered", ended
    for version_id, tenant in site.hostile.items():
        outcome.loaded += await site.chat(tenant, version_id, "hello") == "answered"
    before = site.tokenizer_seconds()
    outcome.alone.add(await _turn(site, seconds / 2))
    own = (site.tokenizer_seconds() - before) / (seconds / 2)
    before, began = site.tokenizer_seconds(), time.monotonic()
    async with _attack(site, outcome.attacks):
        outcome.beside.add(await _turn(site, seconds))
    outcome.attack_seconds = time.monotonic() - began
    taken = site.tokenizer_seconds() - before
    outcome.hostile_cpu_seconds = max(0.0, taken - own * outcome.attack_seconds)
    outcome.alone.add(await _turn(site, seconds / 2))
    return outcome


async def _turn(site: Site, seconds: float) -> Turn:
    turn, end = Turn(), time.monotonic() + seconds

    async def paced(
        a_second: float, times: list[float], ask: Callable[[int], Awaitable[str]]
    ) -> None:
        async def one(number: int) -> None:
            began = time.monotonic()
            ended = await ask(number)
            times.append(time.monotonic() - began)
            if ended != "answered":
                turn.failed[ended] += 1

        async with asyncio.TaskGroup() as asked:
            number = 0
            while time.monotonic() < end:
                asked.create_task(one(number))
                number += 1
                await asyncio.sleep(1 / a_second)

    async with asyncio.TaskGroup() as both:
        chat = lambda n: site.chat(GOOD_TENANT, GOOD, f"what is thing {n}?")  # noqa: E731
        count = lambda n: site.count(GOOD_TENANT, GOOD, f"what is thing {n}?")  # noqa: E731
        both.create_task(paced(CHATS_A_SECOND, turn.chats, chat))
        both.create_task(paced(COUNTS_A_SECOND, turn.counts, count))
    return turn


@asynccontextmanager
async def _attack(site: Site, ends: Counter[str]) -> AsyncIterator[None]:
    """Every hostile model is asked again and again, until the block ends."""

    async def attacker(version_id: str, tenant: str) -> None:
        while True:
            for content in (TRIGGER, X_TRIGGER):
                # Only prompts: what an engine does with an answer is no matter of templates.
                ends[await site.count(tenant, version_id, content)] += 1
                await asyncio.sleep(PAUSE_SECONDS)

    tasks = [asyncio.create_task(attacker(*one)) for one in site.hostile.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
