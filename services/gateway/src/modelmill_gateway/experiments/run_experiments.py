"""Run experiments: count keys and carry out what they decide; leaderless, in every replica."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.read_model import until_seen
from modelmill_experiments.key_windows import KeyDigest
from modelmill_service_kit.errors import NotFoundError, UnavailableError

from modelmill_gateway.experiments.count_answers import CountAnswers
from modelmill_gateway.experiments.experiment_book import MOST_AT_ONCE, ExperimentBook
from modelmill_gateway.experiments.outcomes import ended, outcome_of
from modelmill_gateway.experiments.steer_experiment import SteerExperiment

log = logging.getLogger(__name__)

LATE_TURNS = 2
"""How long what belongs to a window may come after its end."""
START_SECONDS = 300.0
"""After which one that has not started will not: who made it is gone."""


@dataclass
class _Running:
    """One experiment that this process counts for."""

    count: CountAnswers
    readers: list[asyncio.Task[None]]
    pending: dict[KeyDigest, pb.ExperimentUnit] = field(default_factory=dict)
    """Keys that have closed and are not stored yet, in their order."""
    phase: int = 0

    def keep(self, evidence_phase: int, units: "list[pb.ExperimentUnit]") -> None:
        """Take closed keys; those of a phase that is over count no more."""
        if self.phase != evidence_phase:
            self.phase = evidence_phase
            self.pending.clear()
        self.pending |= {unit.key_digest: unit for unit in units}


class RunExperiments:
    """Every process that works follows all live experiments; the bus lets one of them write.

    Args:
        turn_seconds: Between two looks at each experiment.
        now: The time of day in seconds.
    """

    def __init__(
        self,
        bus: Bus,
        book: ExperimentBook,
        steer: SteerExperiment,
        turn_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._book = book
        self._steer = steer
        self._now = now
        self._turn_seconds = turn_seconds
        self._running: dict[str, _Running] = {}

    async def run(self) -> None:
        """Look at each of them again and again, until cancelled."""
        try:
            while True:
                for state in self._book.live():
                    await self._look(state)
                await self._forget_ended()
                await asyncio.sleep(self._turn_seconds)
        finally:
            for each in self._running.values():
                await _end(each.readers)

    async def _look(self, state: pb.ExperimentState) -> None:
        try:
            await self.turn(state)
        except StaleWriteError:
            log.debug("another replica counted for experiment %s first", state.experiment_id)
        except (UnavailableError, NotFoundError) as error:
            log.warning("experiment %s waits: %s", state.experiment_id, error.message)

    async def turn(self, state: pb.ExperimentState) -> None:
        """Count what has closed by now, and carry out what follows.

        Raises:
            StaleWriteError: Another replica counted first; the next turn sees what.
            UnavailableError: The bus is away.
        """
        if state.status == pb.EXPERIMENT_STATUS_STARTING:
            await self._start(state)
            return
        running = self._running.get(state.experiment_id) or self._begin(state)
        await self._book.catch_up()
        await running.count.catch_up()
        evidence = self._book.evidence(state.experiment_id)
        running.keep(evidence.number, list(running.count.closing(evidence, self._now())))
        for key in [each for each in running.pending if each in evidence.closed]:
            del running.pending[key]
        while running.pending:
            units = list(islice(running.pending.values(), MOST_AT_ONCE))
            await until_seen(self._book, await self._book.append(state, units))
            for unit in units:
                running.pending.pop(unit.key_digest, None)
        await self.decide(state.tenant, state.experiment_id)

    async def decide(self, tenant: str, experiment_id: str) -> None:
        """Carry out what the evidence says and the record does not yet; end what was taken over."""
        state = self._book.get(tenant, experiment_id)
        decisions = self._book.evidence(experiment_id).decisions
        if len(decisions) > len(state.decisions) or self._steer.is_taken_over(state):
            await self._steer.carry_out(state, outcome_of(state, decisions), decisions)

    async def _start(self, state: pb.ExperimentState) -> None:
        if self._now() - state.created_at.seconds < START_SECONDS:
            return
        version_id = state.arms[0].version_id
        why = "it could not be started: whoever made it ended before the alias was moved"
        outcome = ended(pb.EXPERIMENT_STATUS_STOPPED, version_id, why)
        await self._steer.carry_out(state, outcome)

    def _begin(self, state: pb.ExperimentState) -> _Running:
        count = CountAnswers(self._bus, state, LATE_TURNS * self._turn_seconds)
        readers = [_started(count.answers.run()), _started(count.feedback.run())]
        running = self._running[state.experiment_id] = _Running(count, readers)
        return running

    async def _forget_ended(self) -> None:
        live = {each.experiment_id for each in self._book.live()}
        for experiment_id in self._running.keys() - live:
            await _end(self._running.pop(experiment_id).readers)


def _started(reading: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(reading)


async def _end(readers: list[asyncio.Task[None]]) -> None:
    for each in readers:
        each.cancel()
    for each in readers:
        with suppress(asyncio.CancelledError):
            await each
