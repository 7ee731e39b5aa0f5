"""Streams of several tenants over replicas that are killed again and again."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelmill_gateway.domain.ledger.budget import Amounts, Limits
from modelmill_testkit.nats_server import NatsServer

from tests.ledger import trees
from tests.ledger.callers import Asked, Callers
from tests.ledger.counting_inference import CountingInference
from tests.ledger.oracle import Findings, findings, wrongs
from tests.ledger.site import Shown, Site, running_site

SHARES = {"roomy": 0.5, "early": 0.15, "late": 0.2, "narrow": 0.15}
"""Of the streams."""
WIDE_SHARES = {
    **{"roomy": 0.2, "early": 0.1, "late": 0.1, "narrow": 0.15},
    **{"hurried": 0.15, "wordy": 0.15, "paying": 0.15},
}
MOST_TOKENS = 24
SECONDS_A_TOKEN = 0.15
KILL_SECONDS = 4.0
"""Between kills, on the average."""
WARM_SECONDS = 5.0
"""Of the undisturbed phase, in which leases are made; not counted in the share of waits."""
AWAY_SECONDS = 1.5
"""So long the broker is dead."""
STARTS = 10
QUIET_SECONDS = 60.0


@dataclass(frozen=True)
class Form:
    """How large a drill is, and what it is made of.

    `wide` are rates, money and a dead broker; `trees` are keys that keys made, with all of that.
    """

    streams: int
    calm_seconds: float
    kill_seconds: float
    seed: int = 1
    replicas: int = 2
    wide: bool = False
    trees: bool = False
    module: str | None = None
    """The gateway's, if not its own."""

    @property
    def shares(self) -> dict[str, float]:
        """Of the streams, by tenant or key."""
        if self.trees:
            return trees.SHARES
        return WIDE_SHARES if self.wide else SHARES

    @property
    def calm(self) -> str:
        """Who asks while nothing is killed."""
        return trees.LINE[-1] if self.trees else "roomy"

    def limits(self) -> dict[str, Limits]:
        """Of tenants, such that "early" runs out after some 15 s and "late" after some 45."""
        if self.trees:
            return trees.TENANTS
        count = {tenant: share * self.streams for tenant, share in self.shares.items()}
        limits = {
            "roomy": Limits(tokens=100_000_000, parallel_requests=10_000),
            "early": Limits(tokens=round(500 * count["early"])),
            "late": Limits(tokens=round(830 * count["late"])),
            "narrow": Limits(parallel_requests=max(1, round(count["narrow"] / 2))),
        }
        if self.wide:
            limits |= {
                "hurried": Limits(requests_per_minute=round(4 * count["hurried"])),
                "wordy": Limits(tokens_per_minute=round(300 * count["wordy"])),
                # Its money runs out first.
                "paying": Limits(
                    tokens=round(830 * count["paying"]), micros=round(1500 * count["paying"])
                ),
            }
        return limits


@dataclass
class Run:
    """What a drill came to."""

    streams: int = 0
    replicas: int = 2
    kills: int = 0
    broker_kills: int = 0
    requests: float = 0.0
    """Of limited callers in the undisturbed phase, behind its warm part."""
    waits: float = 0.0
    """Of these, those that waited for the bus."""
    tenants: dict[str, Findings] = field(default_factory=dict)
    """Of trees, also keys."""

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


async def drill(folder: Path, form: Form) -> Run:
    """A calm phase, one with kills, and the quiet after."""
    run = Run(form.streams, form.replicas)
    inference = CountingInference(SECONDS_A_TOKEN)
    asked: list[Asked] = []
    opened = running_site(
        folder, inference, form.limits(), replicas=form.replicas, module=form.module
    )
    async with opened as site:
        shown = await _shown(site, form)
        async with _asking(site, {shown[form.calm]: form.streams}, asked, form.seed):
            await asyncio.sleep(min(WARM_SECONDS, form.calm_seconds / 2))
            before = await _counted(site)
            await asyncio.sleep(max(0.0, form.calm_seconds - WARM_SECONDS))
            after = await _counted(site)
        run.requests, run.waits = (after[it] - before[it] for it in (0, 1))
        streams = {shown[it]: round(share * form.streams) for it, share in form.shares.items()}
        async with _asking(site, streams, asked, form.seed + 1):
            await _kill(site, form, run)
        budgets = {each.budgets[0]: name for name, each in shown.items()}
        await _quiet(site, budgets)
        kills = {replica.name: replica.kills for replica in site.replicas}
        found = findings([*budgets], asked, inference.calls, site.records, kills)
        run.tenants = {budgets[budget_id]: each for budget_id, each in found.items()}
    return run


async def _shown(site: Site, form: Form) -> Mapping[str, Shown]:
    """All that has a budget, by name."""
    if form.trees:
        return await trees.grown(site, form.streams)
    return {tenant: site.tenant(tenant) for tenant in form.shares}


@asynccontextmanager
async def _asking(
    site: Site, streams: dict[Shown, int], asked: list[Asked], seed: int
) -> AsyncIterator[None]:
    """So many streams of each caller; with the block's end those in flight are the last."""
    tasks, callers = [], []
    for shown, count in streams.items():
        each = Callers(shown, site.replicas, seed)
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


async def _kill(site: Site, form: Form, run: Run) -> None:
    """Kill a replica, wait for its return, and again; in a wide drill the broker once, too."""
    loop, draw = asyncio.get_running_loop(), random.Random(form.seed)
    began_at = loop.time()
    ends_at = began_at + form.kill_seconds
    while loop.time() < ends_at:
        await asyncio.sleep(draw.uniform(0.5, 1.5) * KILL_SECONDS)
        replica = draw.choice(site.replicas)
        await replica.kill()
        run.kills += 1
        await replica.start()
        is_late = loop.time() > began_at + form.kill_seconds / 2
        if (form.wide or form.trees) and is_late and not run.broker_kills:
            run.broker_kills += 1
            site.nats.kill()
            await asyncio.sleep(AWAY_SECONDS)
            await _start(site.nats)


async def _start(broker: NatsServer) -> None:
    """Start it, although somebody's connection may have its port for a while."""
    for _ in range(STARTS):
        try:
            await broker.start()
            return
        except RuntimeError:
            await asyncio.sleep(AWAY_SECONDS)
    await broker.start()


async def _quiet(site: Site, budgets: Iterable[str]) -> None:
    """Until nobody has a lease any more: one that is idle gives all of it back."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + QUIET_SECONDS
    while loop.time() < ends_at:
        newest = [site.newest(budget_id) for budget_id in budgets]
        if all(budget.leased == Amounts() for budget in newest):
            return
        await asyncio.sleep(0.2)
