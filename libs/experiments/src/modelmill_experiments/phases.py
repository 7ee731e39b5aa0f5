"""Both phases of an experiment: candidates are compared, and the promoted one is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelmill_experiments.key_windows import KeyDigest
from modelmill_experiments.plan import BASE, Plan, PlanError
from modelmill_experiments.sequential_test import Decision, SequentialTest, Unit, Verdict

COMPARED, WATCHED = 0, 1
"""Numbers of the phases."""


@dataclass(frozen=True)
class PhaseDecision:
    """A decision, and the phase that it was made in."""

    phase: int
    decision: Decision


class Phases:
    """Evidence of an experiment from its first key to its end; `count` keys in their order.

    A key draws its arm anew when the phase changes, so it counts once in each of them. What an
    earlier phase learned of amounts and tails, its rulers, goes on into the next.

    Args:
        plan: Of the first phase.
        holdback: Share of the base while a promoted candidate is watched.

    Raises:
        PlanError: The holdback is not between 0 and 1.
    """

    def __init__(self, plan: Plan, holdback: float) -> None:
        if not 0 < holdback < 1:
            raise PlanError(f"holdback: {holdback} is not between 0 and 1")
        self._plan = plan
        self._holdback = holdback
        self.number = COMPARED
        self.current = SequentialTest(plan)
        """Of the phase that runs now, or ran last."""
        self.closed: dict[KeyDigest, None] = {}
        """Keys that this phase has counted, in their order."""
        self.decisions: list[PhaseDecision] = []

    def count(self, phase: int, key: KeyDigest, unit: Unit) -> Sequence[Decision]:
        """What follows from one more key.

        A key of another phase, one that was counted, and one of an arm that there is not, change
        nothing: whoever counted it knew less than is known here.
        """
        if phase != self.number or key in self.closed or unit.arm not in self.current.plan.shares:
            return ()
        self.closed[key] = None
        made = self.current.apply(unit)
        self.decisions += [PhaseDecision(phase, each) for each in made]
        for each in made:
            if each.verdict is Verdict.PROMOTE and self.number == COMPARED:
                self._watch(each.candidate)
        return made

    def _watch(self, candidate: str) -> None:
        shares = {BASE: self._holdback, candidate: 1.0 - self._holdback}
        harms = {name: self._plan.harm(name) for name in self._plan.watched}
        plan = replace(self._plan, shares=shares, max_harm=harms, may_promote=False)
        self.current = SequentialTest(plan, _quantiles(self.current))
        self.number = WATCHED
        self.closed = {}


def _quantiles(experiment: SequentialTest) -> Mapping[str, float]:
    return {
        name: ruler.quantile
        for name, ruler in experiment.rulers.items()
        if ruler.quantile is not None
    }
