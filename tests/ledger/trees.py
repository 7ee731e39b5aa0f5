"""Keys that keys made: each has limits of its own, and together they have those of the first."""

from collections.abc import Mapping

from modelmill_gateway.domain.access import MOST_IN_LINE
from modelmill_gateway.domain.ledger.budget import Limits

from tests.ledger.site import Shown, Site

ROOMY = Limits(tokens=100_000_000, parallel_requests=10_000)
TENANTS = {name: Limits(parallel_requests=10_000) for name in ("deep", "grove", "hedge")}
"""Limited as well, so that all of a line and the tenant are charged."""
LINE = [f"deep {number}" for number in range(1, MOST_IN_LINE + 1)]
MAKERS = {
    **{key: maker for maker, key in zip(["deep", *LINE], LINE, strict=False)},
    **{"grove root": "grove", "grove left": "grove root", "grove right": "grove root"},
    **{"grove left 1": "grove left", "grove left 2": "grove left", "grove right 1": "grove right"},
    **{"hedge root": "hedge", "hedge 1": "hedge root", "hedge 2": "hedge root"},
}
"""By the name of a key, who made it: another key, or a token of the tenant."""
SHARES = {
    LINE[-1]: 0.15,
    **{name: 0.1 for name in MAKERS if name.startswith("grove")},
    **{name: 0.08 for name in MAKERS if name.startswith("hedge")},
}
"""Of the streams."""


def limits_of_keys(streams: int) -> dict[str, Limits]:
    """Such that what is in the grove runs out while replicas die, first on its right.

    Each key has as much as its maker lets it, or nearly: only that they share keeps them within.
    """
    grove, hedge = 0.6 * streams, 0.24 * streams
    root = Limits(tokens=round(700 * grove), parallel_requests=max(2, round(0.7 * grove)))
    half = Limits(tokens=root.tokens // 3, parallel_requests=max(1, root.parallel_requests // 3))
    rates = Limits(
        requests_per_minute=round(8 * hedge),
        tokens_per_minute=round(500 * hedge),
        micros=round(2_500 * hedge),
    )
    found = dict.fromkeys(MAKERS, root)
    found |= dict.fromkeys(LINE, ROOMY) | dict.fromkeys(("grove right", "grove right 1"), half)
    return found | {name: rates for name in MAKERS if name.startswith("hedge")}


async def grown(site: Site, streams: int) -> Mapping[str, Shown]:
    """All keys by their names, made one by the other."""
    shown = {tenant: site.tenant(tenant) for tenant in TENANTS}
    for name, limits in limits_of_keys(streams).items():
        shown[name] = await site.key(name, shown[MAKERS[name]], limits)
    return shown
