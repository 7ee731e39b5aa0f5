"""Carry out what was decided: the alias first, then the record, each by one compare-and-set."""

import logging
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.read_model import until_seen
from modelmill_experiments.phases import PhaseDecision
from modelmill_registry.aliases import AliasBook

from modelmill_gateway.domain.models import ONLY, Split, Variant
from modelmill_gateway.experiments.experiment_book import LIVE, ExperimentBook
from modelmill_gateway.experiments.outcomes import ExperimentOutcome
from modelmill_gateway.routing.find_model import alias_split

log = logging.getLogger(__name__)


class SteerExperiment:
    """Leaderless: whoever comes second finds the alias where it should be, or its record changed.

    All raise UnavailableError when the bus is away; it is done by whoever looks next.
    """

    def __init__(self, book: ExperimentBook, aliases: AliasBook) -> None:
        self._book = book
        self._aliases = aliases

    async def carry_out(
        self,
        state: pb.ExperimentState,
        outcome: ExperimentOutcome,
        decisions: Sequence[PhaseDecision] = (),
        *,
        changed_by: str = "",
    ) -> pb.ExperimentState:
        """Move the alias and write the record, unless somebody moved the alias: then it is over.

        Returns:
            The record as it is now; another one than was meant where somebody wrote first.
        """
        sequence = await self._moved(state, outcome)
        if sequence is None:
            why = f"somebody moved the alias {state.alias} by hand; it was left as it is"
            outcome = ExperimentOutcome(pb.EXPERIMENT_STATUS_STOPPED, outcome.phase, (), why)
        return await self._written(state, outcome, decisions, sequence or 0, changed_by)

    def is_taken_over(self, state: pb.ExperimentState) -> bool:
        """Whether somebody moved the alias, as far as is known here."""
        stored = self._aliases.stored(state.tenant, state.alias)
        if stored is None or stored.sequence <= state.alias_sequence:
            return False
        return stored.body.moved_by != mover_of(state)

    async def _moved(self, state: pb.ExperimentState, outcome: ExperimentOutcome) -> int | None:
        """Sequence of the alias as it should be; None when somebody else moved it."""
        subject = f"alias.state.{state.tenant}.{state.alias}"
        while True:
            await self._aliases.catch_up(subject)
            stored = self._aliases.stored(state.tenant, state.alias)
            if stored is None or not stored.body.version_id:
                return None
            wanted = outcome.split(split_or_version(stored.body), state.experiment_id)
            if means(stored.body, wanted):
                return stored.sequence
            if stored.sequence != state.alias_sequence and not await self._is_own(state, stored):
                return None
            try:
                return await self._move(state, wanted, stored)
            except StaleWriteError:
                continue

    async def _is_own(self, state: pb.ExperimentState, stored: Stored[AliasState]) -> bool:
        """Whether it was moved for this experiment by somebody who has not written that down."""
        if stored.body.moved_by != mover_of(state):
            return False
        newest = await self._book.newest(state.tenant, state.experiment_id)
        return newest.body.alias_sequence == state.alias_sequence

    async def _move(
        self, state: pb.ExperimentState, wanted: Split, stored: Stored[AliasState]
    ) -> int:
        sequence = await self._aliases.move(
            state.tenant,
            state.alias,
            wanted.variants[0].version_id,
            moved_by=mover_of(state),
            expected=stored.sequence,
            options=options_of(wanted),
        )
        await until_seen(self._aliases, sequence)
        return sequence

    async def _written(
        self,
        state: pb.ExperimentState,
        outcome: ExperimentOutcome,
        decisions: Sequence[PhaseDecision],
        alias_sequence: int,
        changed_by: str,
    ) -> pb.ExperimentState:
        stored = await self._book.newest(state.tenant, state.experiment_id)
        if stored.body.status not in LIVE or stored.body.alias_sequence != state.alias_sequence:
            return stored.body
        changed = pb.ExperimentState()
        changed.CopyFrom(stored.body)
        if changed.phase != outcome.phase or not changed.HasField("phase_at"):
            changed.phase_at.GetCurrentTime()
        changed.status, changed.phase, changed.reason = (
            outcome.status,
            outcome.phase,
            outcome.reason,
        )
        changed.alias_sequence, changed.changed_by = alias_sequence, changed_by
        del changed.decisions[:]
        changed.decisions.extend(map(decision_of, decisions))
        try:
            sequence = await self._book.write(changed, expected=stored.sequence)
        except StaleWriteError:
            return (await self._book.newest(state.tenant, state.experiment_id)).body
        await until_seen(self._book, sequence)
        log.info("experiment %s: %s", state.experiment_id, outcome.reason or "goes on")
        return changed


def mover_of(state: pb.ExperimentState) -> str:
    """Who moves the alias, as its record says."""
    return f"experiment:{state.experiment_id}"


def split_or_version(alias: AliasState) -> Split:
    """What an alias means, one of a version as a split of one variant."""
    return alias_split(alias) or Split((Variant(ONLY, alias.version_id, 1.0),))


def options_of(split: Split) -> dict[str, object]:
    """Options of the alias; none where it is a version and nothing more."""
    is_plain = len(split.variants) == 1 and not split.fallback and split.shadow is None
    return {} if is_plain and not split.is_logged else split.options()


def means(alias: AliasState, split: Split) -> bool:
    """Whether the alias is what `split` says."""
    same = alias.version_id == split.variants[0].version_id
    return same and MessageToDict(alias.options) == options_of(split)


def decision_of(made: PhaseDecision) -> pb.ExperimentDecision:
    """As the record has it."""
    decision = made.decision
    return pb.ExperimentDecision(
        phase=made.phase,
        verdict=decision.verdict,
        candidate=decision.candidate,
        metric=decision.metric,
        evidence=decision.evidence,
        threshold=decision.threshold,
        keys=decision.keys,
    )
