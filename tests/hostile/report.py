"""What a drill promises, as entries."""

import random
from collections.abc import Sequence

from modelmill_tokenization.bounded import Limits
from modelmill_tokenization.bounded.refusals import BUDGET_SECONDS, REFILL

from tests.bench.figures import Entry
from tests.hostile.drill import Outcome
from tests.hostile.site import RIVALS

LIMIT_SECONDS = Limits().seconds
RESAMPLES = 1000
MOST_RATIO = 2.0


def entries(outcome: Outcome) -> list[Entry]:
    """All lines but that of `render.added`."""
    return [_latency(outcome), _wait(outcome), _failures(outcome), _cpu(outcome)]


def _latency(outcome: Outcome) -> Entry:
    alone, beside = outcome.alone.chats, outcome.beside.chats
    value, floor = p99(beside) * 1e3, p99(alone) * 1e3
    draw = random.Random(1)
    ratios = sorted(
        p99(draw.choices(beside, k=len(beside))) / p99(draw.choices(alone, k=len(alone)))
        for _ in range(RESAMPLES)
    )
    return Entry(
        id="hostile.p99",
        value=value,
        unit="ms",
        against="the same chats without the attack",
        ratio=value / floor,
        goal=f"ratio <= {MOST_RATIO:g}",
        met=value <= MOST_RATIO * floor,
        ci95=(ratios[RESAMPLES // 40], ratios[-RESAMPLES // 40]),
        note=f"{len(beside)} chats beside, {len(alone)} alone, p99 {floor:.1f} ms; "
        f"attacks: {dict(outcome.attacks)}; {outcome.loaded} hostile models were loaded",
    )


def _wait(outcome: Outcome) -> Entry:
    longest, alone = max(outcome.beside.counts), max(outcome.alone.counts)
    return Entry(
        id="hostile.wait",
        value=longest,
        unit="s",
        against="the same without the attack",
        ratio=longest / alone,
        goal=f"<= {LIMIT_SECONDS:g} s, the render limit",
        met=longest <= LIMIT_SECONDS,
        ci95=(longest / alone, longest / alone),
        note=f"longest of {len(outcome.beside.counts)} prompts that were rendered and encoded",
    )


def _failures(outcome: Outcome) -> Entry:
    failed = outcome.beside.failed.total() + outcome.alone.failed.total()
    asked = len(outcome.beside.chats) + len(outcome.beside.counts)
    return Entry(
        id="hostile.failures",
        value=float(failed),
        unit="requests",
        against="requests beside the attack",
        ratio=failed / asked,
        goal="0",
        met=failed == 0,
        ci95=(failed / asked, failed / asked),
        note=f"of {asked} beside the attack: {dict(outcome.beside.failed)}",
    )


def _cpu(outcome: Outcome) -> Entry:
    """A tenant's budget, what comes back meanwhile, and one request that goes over its end."""
    value = outcome.hostile_cpu_seconds / len(RIVALS)
    bound = BUDGET_SECONDS + REFILL * outcome.attack_seconds + Limits().cpu_seconds
    return Entry(
        id="hostile.cpu",
        value=value,
        unit="s of CPU a tenant",
        against="the time of the attack",
        ratio=value / outcome.attack_seconds,
        goal=f"<= {bound:.1f} s",
        met=value <= bound,
        ci95=(value / outcome.attack_seconds, value / outcome.attack_seconds),
        note=f"{len(RIVALS)} tenants, {outcome.attack_seconds:.0f} s, mean of all; restarted "
        "processes and their loading included",
    )


def p99(seconds: Sequence[float]) -> float:
    """The time that one of a hundred is not within."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
