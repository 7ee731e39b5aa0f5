"""What the bus says of experiments: their records, and the evidence of the keys that count."""

from collections.abc import Iterable
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import (
    EXPERIMENT_STATUS_RUNNING,
    EXPERIMENT_STATUS_STARTING,
    EXPERIMENT_STATUS_WATCHING,
    ExperimentState,
    ExperimentUnit,
    ExperimentUnits,
)
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.keyed_store import KeyedStore
from modelmill_bus.subjects import experiment_units
from modelmill_experiments.phases import Phases
from modelmill_experiments.plan import Plan
from modelmill_experiments.sequential_test import Unit

LIVE = (EXPERIMENT_STATUS_STARTING, EXPERIMENT_STATUS_RUNNING, EXPERIMENT_STATUS_WATCHING)
MOST_AT_ONCE = 500
"""Units of a message: fifty answers with five metrics are 3 kB a key at most."""


class ExperimentBook(KeyedStore[ExperimentState]):
    """Read model of `experiment.state.*` and `experiment.units.*`.

    The evidence is folded from the units alone, in their order: every replica has the same, and so
    has whoever replays them.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(
            bus,
            "experiment.state",
            key="experiment_id",
            noun="experiment",
            listed_at="/v1/experiments",
            beside=("experiment.units.*",),
        )
        self._evidence: dict[str, Phases] = {}
        self._sequences: dict[str, int] = {}
        """Of the last units of each."""

    def evidence(self, experiment_id: str) -> Phases:
        """Of an experiment whose record is known."""
        return self._evidence[experiment_id]

    def live(self) -> list[ExperimentState]:
        """Those of all tenants that have not ended."""
        return [each for each in self._records.values() if each.status in LIVE]

    def of_alias(self, tenant: str, alias: str) -> ExperimentState | None:
        """The one that runs on the alias."""
        mine = (each for each in self.live() if (each.tenant, each.alias) == (tenant, alias))
        return next(mine, None)

    async def append(self, state: ExperimentState, units: Iterable[ExperimentUnit]) -> int:
        """Store units behind those that are known here; their sequence.

        Raises:
            StaleWriteError: Somebody else stored some first.
            UnavailableError: The bus is away; they may have been stored, or may be later.
        """
        body = ExperimentUnits(
            experiment_id=state.experiment_id,
            tenant=state.tenant,
            phase=self.evidence(state.experiment_id).number,
            units=units,
        )
        subject = experiment_units(state.experiment_id)
        expected = self._sequences.get(state.experiment_id, 0)
        return await self._bus.publish(subject, body, expect_last=expected)

    async def units(self, experiment_id: str) -> list[ExperimentUnits]:
        """All that were stored of an experiment, in their order; read anew."""
        subjects = (experiment_units(experiment_id),)
        return [stored.body async for stored in self._bus.replay(subjects)]

    def _apply(self, stored: Stored[Any]) -> None:
        body = stored.body
        if isinstance(body, ExperimentUnits):
            self._sequences[body.experiment_id] = stored.sequence
            evidence = self._evidence.get(body.experiment_id)
            # Behind the end of an experiment nothing counts.
            if evidence is not None and self._records[body.experiment_id].status in LIVE:
                for unit in body.units:
                    evidence.count(body.phase, unit.key_digest, unit_of(unit))
            return
        super()._apply(stored)
        if body.experiment_id not in self._evidence:
            self._evidence[body.experiment_id] = Phases(plan_of(body), body.holdback)
        elif body.status not in LIVE:
            self._evidence[body.experiment_id].closed.clear()


def plan_of(state: ExperimentState) -> Plan:
    """What is compared. Raises PlanError."""
    return Plan(
        shares={arm.name: arm.share for arm in state.arms},
        primary=state.primary,
        guardrails=tuple(state.guardrails),
        alpha=state.alpha,
        max_harm=dict(state.max_harm),
        horizon=state.horizon,
    )


def unit_of(unit: ExperimentUnit) -> Unit:
    """As the evidence takes it."""
    return Unit(unit.arm, {name: tuple(it.values) for name, it in unit.values.items()})
