"""A pool whose figures a test reads."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from modelmill_testkit.hostile_models import TRIGGER
from modelmill_testkit.waiting import eventually
from modelmill_tokenization import Turn
from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.pool import TokenizerPool
from modelmill_tokenization.bounded.refusals import PROVEN_AFTER

LIMITS = Limits(cpu_seconds=0.3, seconds=20.0)
"""By the clock much more, because tests share their machine."""
ENDLESS = (
    "{% if messages[-1].content == 'boom' %}{{ (messages|length + 9) ** (10 ** 9) }}{% endif %}"
    "{{ messages }}"
)
HELLO: list[Turn] = [{"role": "user", "content": "hello"}]
BOOM: list[Turn] = [{"role": "user", "content": TRIGGER}]


def _children() -> list[psutil.Process]:
    return psutil.Process().children()


@dataclass
class Figures:
    """What the pool said, and the processes that it started."""

    processes: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    of_others: set[int] = field(default_factory=lambda: {one.pid for one in _children()})
    """Those of earlier tests may still be ending."""

    def children(self) -> list[psutil.Process]:
        """At first that of strangers, then the others."""
        return [one for one in _children() if one.pid not in self.of_others]

    def running(self, processes: int) -> None:
        self.processes.append(processes)

    def waited(self, seconds: float) -> None:
        self.counts["begun"] += 1

    def worked(self, cpu_seconds: float) -> None:
        self.counts["worked"] += 1

    def stopped(self) -> None:
        self.counts["stopped"] += 1

    def refused(self) -> None:
        self.counts["refused"] += 1


@asynccontextmanager
async def running(limits: Limits = LIMITS) -> AsyncIterator[tuple[TokenizerPool, Figures]]:
    figures = Figures()
    async with TokenizerPool(limits, figures) as pool:
        yield pool, figures


async def proven(pool: TokenizerPool, figures: Figures, tenant: str, folder: Path) -> None:
    """Use a new folder until the others have loaded it as well, which is to read and to load."""
    for _ in range(PROVEN_AFTER):
        await pool.encode_prompt(tenant, folder, HELLO, [])
    steps = 3 * 2 + PROVEN_AFTER
    await eventually(lambda: figures.counts["worked"] == steps, within=60)
