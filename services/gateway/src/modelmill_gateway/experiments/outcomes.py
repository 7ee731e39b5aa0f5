"""Where decisions leave an experiment and its alias: pure, so that all who look see the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_experiments.phases import COMPARED, WATCHED, PhaseDecision
from modelmill_experiments.plan import BASE
from modelmill_experiments.sequential_test import Decision, Verdict

from modelmill_gateway.domain.models import ONLY, Phase, Split, Variant


@dataclass(frozen=True)
class ExperimentOutcome:
    """Where an experiment stands, and what its alias means then."""

    status: pb.ExperimentStatus.ValueType
    phase: int
    variants: tuple[Variant, ...]
    """One where it has ended."""
    reason: str = ""

    def split(self, before: Split, experiment_id: str) -> Split:
        """The alias's split with these variants, shadow and fallback as they were."""
        is_live = len(self.variants) > 1
        phase = Phase(experiment_id, self.phase) if is_live else None
        return replace(before, variants=self.variants, phase=phase)


def outcome_of(state: pb.ExperimentState, decisions: Sequence[PhaseDecision]) -> ExperimentOutcome:
    """What the decisions come to, all together."""
    versions = {arm.name: arm.version_id for arm in state.arms}
    promoted = ""
    for each in decisions:
        made = each.decision
        if each.phase == COMPARED and made.verdict is Verdict.ROLL_BACK:
            # Who had drawn it is answered by the base; keys stay with their arms, for the ratio.
            versions[made.candidate] = versions[BASE]
        elif made.verdict is Verdict.PROMOTE:
            promoted = made.candidate
        elif each.phase == WATCHED and made.verdict is Verdict.NO_WINNER:
            why = f"{promoted} did no harm in {made.keys} keys after its promotion"
            return ended(pb.EXPERIMENT_STATUS_PROMOTED, versions[promoted], why)
        elif each.phase == WATCHED:
            why = f"after its promotion: {_why(made)}"
            return ended(pb.EXPERIMENT_STATUS_ROLLED_BACK, versions[BASE], why)
        else:
            return ended(pb.EXPERIMENT_STATUS_NO_WINNER, versions[BASE], _why(made))
    if promoted:
        arms = {promoted: 1.0 - state.holdback, BASE: state.holdback}
        status = pb.EXPERIMENT_STATUS_WATCHING
    else:
        arms = {arm.name: arm.share for arm in state.arms}
        status = pb.EXPERIMENT_STATUS_RUNNING
        if decisions and len(set(versions.values())) == 1:
            why = _why(decisions[-1].decision)
            return ended(pb.EXPERIMENT_STATUS_ROLLED_BACK, versions[BASE], why)
    variants = tuple(Variant(name, versions[name], share) for name, share in arms.items())
    return ExperimentOutcome(status, WATCHED if promoted else COMPARED, variants)


def ended(status: pb.ExperimentStatus.ValueType, version_id: str, reason: str) -> ExperimentOutcome:
    """With one version that has the alias from now on."""
    return ExperimentOutcome(status, COMPARED, (Variant(ONLY, version_id, 1.0),), reason)


def _why(made: Decision) -> str:
    if made.verdict is Verdict.SAMPLE_RATIO:
        return (
            f"keys did not fall to the arms as the shares say, after {made.keys} of them"
            f" (e-value {made.evidence:.4g})"
        )
    if made.verdict is Verdict.NO_WINNER:
        return f"no candidate was better on {made.metric} within {made.keys} keys"
    return (
        f"{made.candidate} is worse on {made.metric} than it may be, after {made.keys} keys"
        f" (e-value {made.evidence:.4g}, {made.threshold:.4g} is enough)"
    )
