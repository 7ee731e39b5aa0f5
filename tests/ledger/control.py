"""A replica dies with what it used untold, stays away for longer than the grace, and comes back."""

import asyncio
from pathlib import Path

from modelmill_gateway.domain.ledger.budget import Limits, tenant_budget

from tests.ledger.callers import Callers
from tests.ledger.counting_inference import CountingInference
from tests.ledger.oracle import Findings, findings
from tests.ledger.site import Replica, Site, running_site

TENANT = "tight"
LIMIT = 6_000
STREAMS = 24
MOST_TOKENS = 40
SECONDS_A_TOKEN = 0.02
LEASE_SECONDS = 2.0
GRACE_SECONDS = 1.0
BROKEN = "tests.ledger.broken_gateway"


async def control(folder: Path, *, broken: bool) -> Findings:
    """What the oracle says; of the broken gateway it must say that a limit was exceeded."""
    inference = CountingInference(SECONDS_A_TOKEN)
    opened = running_site(
        *(folder, inference, {TENANT: Limits(tokens=LIMIT)}),
        module=BROKEN if broken else None,
        lease_seconds=LEASE_SECONDS,
        grace_seconds=GRACE_SECONDS,
    )
    async with opened as site:
        first, second = site.replicas
        second.serving = False
        callers = Callers(site.tenant(TENANT), [first], 1)
        killed = asyncio.create_task(_killed(first, 1.2))
        await _for(1.4, callers)
        await killed
        await asyncio.sleep(LEASE_SECONDS + GRACE_SECONDS + 0.5)
        second.serving = True
        others = Callers(site.tenant(TENANT), [second], 2)
        await _for(12.0, others)
        await first.start()
        await asyncio.sleep(2 * LEASE_SECONDS)
        return _findings(site, inference, callers, others)


async def _killed(replica: Replica, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await replica.kill()


async def _for(seconds: float, callers: Callers) -> None:
    tasks = [asyncio.create_task(callers.run(MOST_TOKENS)) for _ in range(STREAMS)]
    await asyncio.sleep(seconds)
    callers.stopping = True
    await asyncio.gather(*tasks)


def _findings(site: Site, inference: CountingInference, *callers: Callers) -> Findings:
    asked = [each for one in callers for each in one.asked]
    kills = {replica.name: replica.kills for replica in site.replicas}
    budget = tenant_budget(TENANT)
    return findings([budget], asked, inference.calls, site.records, kills)[budget]
