"""The two runs and their figures."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from modelmill_testkit.waiting import eventually

from tests.overload.callers import Callers, Outcomes
from tests.overload.paced_inference import PacedInference
from tests.overload.site import running_site

PLACES, NEW_TOKENS, SECONDS_A_TOKEN = 16, 32, 0.02
PROMPT_TOKENS = 8
"""As the gateway counts the prompt of `Callers`."""
DEADLINE_SECONDS = 10.0
TIMES = 5
DROPPED_TOKENS = 100_000
SETTLE_SECONDS = 1.0
LEAST_GOODPUT, MOST_REFUSAL_MS = 0.95, 50.0


@dataclass
class Run:
    """What was measured; see the package's `__main__` for what each means."""

    can_tokens_a_second: float = 0.0
    goodput_once: float = 0.0
    goodput_overload: float = 0.0
    once: dict[str, float] = field(default_factory=dict)
    overload: dict[str, float] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    streams: int = 0
    stopped_ms: float = 0.0
    last_token_ms: float = 0.0
    held: dict[str, float] = field(default_factory=dict)

    @property
    def goodput_ratio(self) -> float:
        """Of what is offered five times over what can be done, to that offered once."""
        return self.goodput_overload / self.goodput_once if self.goodput_once else 0.0

    def broken_promises(self) -> list[str]:
        """One line for each; empty when all were kept."""
        rules = (
            (self.goodput_ratio >= LEAST_GOODPUT, f"goodput {self.goodput_ratio:.3f}"),
            (
                self.overload.get("refusal_p99_ms", 0.0) < MOST_REFUSAL_MS,
                f"refusals p99 {self.overload.get('refusal_p99_ms', 0.0):.1f} ms",
            ),
            (self.overload.get("refused", 0) > 0, "nothing was refused, so nothing was shown"),
            (not self.overload.get("without_retry_after"), "refusals without Retry-After"),
            (not self.overload.get("late"), f"late: {self.overload.get('late')} were let in"),
            (not self.others, f"other ends: {self.others[:3]}"),
            (not any(self.held.values()), f"leaked: {self.held}"),
        )
        return [said for kept, said in rules if not kept]


async def overload(run: Run, folder: Path, seconds: float) -> None:
    """What can be done, that offered once, and five times."""
    inference = PacedInference(PLACES, SECONDS_A_TOKEN)
    budget = PLACES * (PROMPT_TOKENS + NEW_TOKENS)
    async with running_site(folder, inference, tokens_in_hand=budget) as site:
        callers = Callers(site, NEW_TOKENS, DEADLINE_SECONDS)
        await callers.capacity(PLACES, min(seconds, 3.0))
        can, rate = await callers.capacity(PLACES, min(seconds, 10.0))
        run.can_tokens_a_second = can
        ramp = seconds / 6
        counted = seconds - ramp
        once = await callers.offer(rate, seconds, ramp)
        five_times = await callers.offer(TIMES * rate, seconds, ramp)
        run.goodput_once = once.tokens_in_time / counted
        run.goodput_overload = five_times.tokens_in_time / counted
        run.once, run.overload = _said(once), _said(five_times)
        run.others += once.others + five_times.others
        run.overload["refused_by_inference"] = inference.refused
        callers.close()


async def dropped(run: Run, folder: Path, streams: int) -> None:
    """So many streams, each with its first text, whose clients all leave at once."""
    inference = PacedInference(2 * streams, SECONDS_A_TOKEN)
    async with running_site(folder, inference, tokens_in_hand=0) as site:
        callers = Callers(site, NEW_TOKENS, 120.0)
        begun = await asyncio.gather(*(callers.begun(DROPPED_TOKENS) for _ in range(streams)))
        inference.ended_at.clear()
        left_at = asyncio.get_running_loop().time()
        for connection in begun:
            connection.drop()
        await eventually(lambda: inference.in_flight == 0, within=20)
        run.streams = streams
        run.stopped_ms = p99([ended - left_at for ended in inference.ended_at]) * 1e3
        run.last_token_ms = max(ended - left_at for ended in inference.ended_at) * 1e3
        before = inference.generated
        settled_at = time.monotonic() + SETTLE_SECONDS

        async def is_free() -> bool:
            run.held = await site.held()
            return time.monotonic() > settled_at or not any(run.held.values())

        await eventually(is_free, within=20)
        run.held["tokens after the end"] = inference.generated - before


def p99(series: Sequence[float]) -> float:
    """All but a hundredth are below it."""
    return float(np.percentile(series, 99)) if series else 0.0


def _said(outcomes: Outcomes) -> dict[str, float]:
    return {
        "answered": outcomes.answered,
        "late": outcomes.late,
        "refused": len(outcomes.refusals),
        "refusal_p99_ms": p99(outcomes.refusals) * 1e3,
        "refusal_max_ms": max(outcomes.refusals, default=0.0) * 1e3,
        "without_retry_after": outcomes.without_retry_after,
    }
