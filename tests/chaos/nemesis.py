"""Draws faults and strikes with them, until enough have struck."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from modelmill_testkit.nats_server import NatsServer

from tests.chaos.fleet import Fleet, Place
from tests.chaos.plan import BROKER, COMMIT, FREEZE, KILL, PARTITION, Plan


class Nemesis:
    """The same dice for the same seed; what they meet also depends on the machine's speed."""

    def __init__(self, seed: int, plan: Plan, broker: NatsServer, fleet: Fleet) -> None:
        self._dice = random.Random(seed)
        self._plan = plan
        self._broker = broker
        self._fleet = fleet
        self._ordered: set[Place] = set()
        self.struck: Counter[str] = Counter()
        self.ended_at = 0.0
        """When the last fault had passed."""

    async def rage(self, on_fault: Callable[[int], None]) -> None:
        """Strike; returns when the last fault has passed.

        Args:
            on_fault: told how many have struck.
        """
        kinds, odds = zip(*self._plan.odds.items(), strict=True)
        async with asyncio.TaskGroup() as passing:
            while self.struck.total() < self._plan.faults:
                await asyncio.sleep(self._dice.uniform(*self._plan.pause_seconds))
                self._see_who_obeyed()
                (kind,) = self._dice.choices(kinds, odds)
                await self._strike(kind, self._dice.choice(self._fleet.places), passing)
                on_fault(self.struck.total())
        self._see_who_obeyed()
        for place in self._ordered:
            place.take_back_order()
        self.ended_at = time.monotonic()

    async def _strike(self, kind: str, place: Place, passing: asyncio.TaskGroup) -> None:
        if kind == BROKER:
            self._broker.kill()
            await asyncio.sleep(self._dice.uniform(0.1, 1.2))
            await self._broker.start()
        elif kind == COMMIT:
            if place not in self._ordered:
                place.order_to_die()
                self._ordered.add(place)
            # It has struck once somebody died of it.
            return
        elif not place.proxy.in_use:
            # Who has not come up since the last fault holds no job; on a slow machine none would.
            return
        elif kind == KILL:
            place.kill()
        elif place.busy:
            return
        elif kind == FREEZE:
            passing.create_task(self._freeze(place, self._claims(1.5, 3.5)))
        elif kind == PARTITION:
            passing.create_task(self._partition(place, self._claims(0.5, 3.0)))
        self.struck[kind] += 1

    def _claims(self, least: float, most: float) -> float:
        """Seconds of so many times what a claim lasts."""
        return self._plan.claim_seconds * self._dice.uniform(least, most)

    async def _freeze(self, place: Place, seconds: float) -> None:
        place.busy = True
        frozen = place.freeze()
        await asyncio.sleep(seconds)
        frozen.send_signal(signal.SIGCONT)
        place.busy = False

    async def _partition(self, place: Place, seconds: float) -> None:
        place.busy = True
        late = self._dice.random() < 0.5
        place.proxy.blackhole()
        await asyncio.sleep(seconds)
        if not late:
            place.proxy.cut()
        place.proxy.heal()
        place.busy = False

    def _see_who_obeyed(self) -> None:
        obeyed = {place for place in self._ordered if not place.shall_die}
        self._ordered -= obeyed
        self.struck[COMMIT] += len(obeyed)
