"""Streams of several tenants over two replicas that are killed again and again."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.domain.ledger.amounts import Amounts, Limits

from tests.ledger.callers import Asked, Callers
from tests.ledger.counting_inference import CountingInference
from tests.ledger.oracle import Findings, findings, wrongs
from tests.ledger.site import Replica, Site, running_site

SHARES = {"roomy": 0.5, "early": 0.15, "late": 0.2, "narrow": 0.15}
"""Of the streams."""
MOST_TOKENS = 24
SECONDS_A_TOKEN = 0.15
KILL_SECONDS = 4.0
"""Between kills, on the average."""
WARM_SECONDS = 5.0
"""Of the undisturbed phase, in which leases are made; not counted in the share of waits."""
QUIET_SECONDS = 60.0


@dataclass
class Run:
    """What a drill came to."""

    streams: int = 0
    kills: int = 0
    requests: float = 0.0
    """Of limited callers in the undisturbed phase, behind its warm part."""
    waits: float = 0.0
    """Of these, those that waited for the bus."""
    tenants: dict[str, Findings] = field(default_factory=dict)

    @property
    def waited_share(self) -> float:
        """Share of the undisturbed requests that waited."""
        return self.waits / self.requests if self.requests else 0.0

    def total(self, name: str) -> int:
        """A figure over all tenants."""
        return sum(int(getattr(each, name)) for each in self.tenants.values())

    def broken_promises(self) -> list[str]:
        """What was promised and did not hold."""
        broken = [
            f"{tenant}: {line}" for tenant, each in self.tenants.items() for line in wrongs(each)
        ]
        if not self.total("refused"):
            broken.append("nothing was refused, so nothing was shown")
        return broken


async def drill(
    folder: Path, *, streams: int, calm_seconds: float, kill_seconds: float, seed: int
) -> Run:
    """A calm phase, one with kills, and the quiet after."""
    run = Run(streams)
    inference = CountingInference(SECONDS_A_TOKEN)
    asked: list[Asked] = []
    async with running_site(folder, inference, limits(streams)) as site:
        async with _asking(site, {"roomy": streams}, asked, seed):
            await asyncio.sleep(min(WARM_SECONDS, calm_seconds / 2))
            before = await _counted(site)
            await asyncio.sleep(max(0.0, calm_seconds - WARM_SECONDS))
            after = await _counted(site)
        run.requests, run.waits = (after[it] - before[it] for it in (0, 1))
        shares = {tenant: round(share * streams) for tenant, share in SHARES.items()}
        async with _asking(site, shares, asked, seed + 1):
            run.kills = await _kill(site.replicas, kill_seconds, random.Random(seed))
        await _quiet(site)
        kills = {replica.name: replica.kills for replica in site.replicas}
        for tenant in SHARES:
            run.tenants[tenant] = findings(tenant, asked, inference.calls, site.records, kills)
    return run


def limits(streams: int) -> dict[str, Limits]:
    """Such that "early" runs out after some 15 s and "late" after some 45."""
    return {
        "roomy": Limits(tokens=100_000_000, parallel_requests=10_000),
        "early": Limits(tokens=round(500 * SHARES["early"] * streams)),
        "late": Limits(tokens=round(830 * SHARES["late"] * streams)),
        "narrow": Limits(parallel_requests=max(1, round(SHARES["narrow"] * streams / 2))),
    }


@asynccontextmanager
async def _asking(
    site: Site, streams: dict[str, int], asked: list[Asked], seed: int
) -> AsyncIterator[None]:
    """So many streams of each tenant; with the block's end those in flight are the last."""
    tasks, callers = [], []
    for tenant, count in streams.items():
        each = Callers(tenant, site.token(tenant), site.replicas, seed)
        callers.append(each)
        tasks += [asyncio.create_task(each.run(MOST_TOKENS)) for _ in range(count)]
    try:
        yield
    finally:
        for each in callers:
            each.stopping = True
        await asyncio.gather(*tasks)
        for each in callers:
            asked += each.asked


async def _counted(site: Site) -> tuple[float, float]:
    """Requests of limited callers and those that waited, of both replicas."""
    pages = [await replica.metrics() for replica in site.replicas]
    names = ("modelmill_quota_requests_total", "modelmill_quota_waits_total")
    requests, waits = (sum(page.get(name, 0.0) for page in pages) for name in names)
    return requests, waits


async def _kill(replicas: list[Replica], seconds: float, draw: random.Random) -> int:
    """Kill one, wait for its return, and again; how often."""
    loop, kills = asyncio.get_running_loop(), 0
    ends_at = loop.time() + seconds
    while loop.time() < ends_at:
        await asyncio.sleep(draw.uniform(0.5, 1.5) * KILL_SECONDS)
        replica = draw.choice(replicas)
        await replica.kill()
        kills += 1
        await replica.start()
    return kills


async def _quiet(site: Site) -> None:
    """Until nobody has a lease any more: one that is idle gives all of it back."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + QUIET_SECONDS
    while loop.time() < ends_at:
        newest = [site.newest(tenant) for tenant in SHARES]
        if all(budget.leased == Amounts() for budget in newest):
            return
        await asyncio.sleep(0.2)
