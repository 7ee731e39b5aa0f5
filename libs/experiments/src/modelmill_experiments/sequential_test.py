"""An experiment as it runs: from closed keys to decisions, in the order in which keys close."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelmill_experiments.contrast import Contrast
from modelmill_experiments.evidence import MixtureBet
from modelmill_experiments.metrics import METRICS, Metric, Ruler, Scale
from modelmill_experiments.plan import BASE, Plan
from modelmill_experiments.sample_ratio import SampleRatio

RATIO_ALPHA = 0.001
"""Chance at most that a healthy experiment is stopped by its sample-ratio check."""


@dataclass(frozen=True)
class Unit:
    """What the answers of one key said, within the time in which they count; it counts once.

    Answers of a key resemble each other, so more of them are not more evidence. Values are those of
    the metric, an answer each; a metric without any is left out.
    """

    arm: str
    values: Mapping[str, Sequence[float]]


class Verdict(StrEnum):
    """What an experiment comes to."""

    PROMOTE = "promote"
    """The candidate is better on the primary metric, and not worse on any guardrail."""
    ROLL_BACK = "roll_back"
    """The candidate is worse on a metric by more than it may be; it gets no more requests."""
    SAMPLE_RATIO = "sample_ratio"
    """Keys did not fall to the arms as they should: nothing can be said."""
    NO_WINNER = "no_winner"
    """The horizon was reached without a promotion; for a version that is watched, all is well."""


@dataclass(frozen=True)
class Decision:
    """Why something was decided, and after how many keys."""

    verdict: Verdict
    candidate: str
    """Empty where it is of all."""
    metric: str
    evidence: float
    """E-value, or 0 where nothing was tested."""
    threshold: float
    keys: int
    """That had closed."""


class _Watch:
    """One metric of one candidate beside the base.

    Attributes:
        better: Against "not better than the base".
        harmless: Against "worse by more than it may be".
        harmful: Against "not worse by more than it may be".
    """

    def __init__(self, metric: Metric, chance: float, harm: float) -> None:
        self._sign = 1.0 if metric.higher_is_better else -1.0
        # In parts of the base's mean, a harm is a factor of the base; else it is a distance.
        relative = metric.scale is Scale.AMOUNT
        self._factor = 1.0 - self._sign * harm if relative else 1.0
        self._harm = 0.0 if relative else harm
        self.plain = Contrast(chance)
        self._scaled = Contrast(chance, self._factor)
        most = self._scaled.largest() + self._harm
        self.better = MixtureBet(-self.plain.largest())
        self.harmless, self.harmful = MixtureBet(-most), MixtureBet(-most)

    def observe(self, value: float, *, of_candidate: bool) -> None:
        gain = self._sign * self.plain.observe(value, of_candidate=of_candidate)
        self.better.observe(gain)
        if self._factor != 1.0:
            gain = self._sign * self._scaled.observe(value, of_candidate=of_candidate)
        self.harmless.observe(gain + self._harm)
        self.harmful.observe(-gain - self._harm)


class SequentialTest:
    """State of an experiment in one phase; `apply` units in the order in which they close.

    Args:
        plan: What is compared.
        quantiles: Of rulers that an earlier part of the same experiment made, by metric.
    """

    def __init__(self, plan: Plan, quantiles: Mapping[str, float] | None = None) -> None:
        self.plan = plan
        made = quantiles or {}
        self.rulers = {name: Ruler(METRICS[name].scale, made.get(name)) for name in plan.watched}
        self.ratio = SampleRatio(tuple(plan.shares.values()))
        self._arms = {name: place for place, name in enumerate(plan.shares)}
        self.watches = {
            name: {metric: self._watch(name, metric) for metric in plan.watched}
            for name in plan.candidates
        }
        """By candidate that is still compared, by metric."""
        self.measured = dict(self.watches)
        """Of every candidate, also of one that was rolled back: as it was then."""
        self.keys = 0
        self.decisions: list[Decision] = []
        self.ended = False

    def _watch(self, candidate: str, metric: str) -> _Watch:
        share, base = self.plan.shares[candidate], self.plan.shares[BASE]
        return _Watch(METRICS[metric], share / (share + base), self.plan.harm(metric))

    def apply(self, unit: Unit) -> Sequence[Decision]:
        """What follows from one more key; nothing more does once the experiment has ended."""
        if self.ended:
            return ()
        self.keys += 1
        self.ratio.observe(self._arms[unit.arm])
        for metric, ruler in self.rulers.items():
            if values := unit.values.get(metric):
                self._measure(unit.arm, metric, ruler, values)
        made = list(self._decide())
        self.decisions += made
        return made

    def _measure(self, arm: str, metric: str, ruler: Ruler, values: Sequence[float]) -> None:
        if not ruler.is_ready:
            for value in values if arm == BASE else ():
                if not ruler.is_ready:
                    ruler.calibrate(value)
            return
        total = 0.0
        for value in values:
            total += ruler.measure(value)
        measured = total / len(values)
        for candidate, watches in self.watches.items():
            if arm in (BASE, candidate):
                watches[metric].observe(measured, of_candidate=arm != BASE)

    def _decide(self) -> Iterator[Decision]:
        if self.ratio.largest >= 1 / RATIO_ALPHA:
            self.ended = True
            yield self._decision(Verdict.SAMPLE_RATIO, "", "", self.ratio.largest, 1 / RATIO_ALPHA)
            return
        yield from self._harmed()
        if self.watches and self.plan.may_promote and (winner := self._winner()) is not None:
            self.ended = True
            yield winner
        elif not self.watches:
            self.ended = True
        elif self.keys >= self.plan.horizon:
            self.ended = True
            yield self._decision(Verdict.NO_WINNER, "", self.plan.primary, 0.0, 0.0)

    def _harmed(self) -> Iterator[Decision]:
        tests = len(self.plan.watched) * len(self.plan.candidates)
        enough = (2 if self.plan.may_promote else 1) * tests / self.plan.alpha
        for candidate, watches in list(self.watches.items()):
            metric = max(watches, key=lambda each: watches[each].harmful.largest)
            found = watches[metric].harmful.largest
            if found >= enough:
                del self.watches[candidate]
                yield self._decision(Verdict.ROLL_BACK, candidate, metric, found, enough)

    def _winner(self) -> Decision | None:
        enough = 2 * len(self.plan.candidates) / self.plan.alpha
        clear = 1 / self.plan.alpha
        for candidate, watches in self.watches.items():
            found = watches[self.plan.primary].better.largest
            if found >= enough and all(
                watch.harmless.largest >= clear
                for metric, watch in watches.items()
                if metric != self.plan.primary
            ):
                return self._decision(Verdict.PROMOTE, candidate, self.plan.primary, found, enough)
        return None

    def _decision(
        self, verdict: Verdict, candidate: str, metric: str, evidence: float, threshold: float
    ) -> Decision:
        return Decision(verdict, candidate, metric, evidence, threshold, self.keys)
