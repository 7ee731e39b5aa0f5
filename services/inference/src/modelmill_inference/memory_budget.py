"""Memory budget of all versions: which fit, and which are unloaded first.

Free memory is measured for each decision, because other processes use it too.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modelmill_service_kit.errors import OverloadedError, PreconditionError

from modelmill_inference.domain.memory import MIB, MemoryNeed, MemoryReservations
from modelmill_inference.metrics import FREE_BYTES, VERSION_BYTES

RETRY_SECONDS = 10.0
SPARE = "spare process"
"""Key of its reservation; version ids have no spaces."""


class Occupants(Protocol):
    """Versions that could be unloaded."""

    def idle(self) -> Sequence[str]:
        """Unused versions that no alias names, least recently used first."""

    async def free(self, version_id: str) -> None:
        """Unload an idle version; return once its memory is free."""


class Spare(Protocol):
    """A pre-warmed process; see `adapters.spare_child`."""

    @property
    def need_bytes(self) -> int: ...

    def resident_bytes(self) -> int: ...

    async def discard(self) -> None:
        """Stop it permanently."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Upper limits."""

    memory_bytes: int
    """Of all versions together."""
    versions: int | None = None
    """Maximum number of versions; None for no limit beside memory."""


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Memory of all versions together, now."""

    limits: MemoryLimits
    held_bytes: Mapping[str, int]
    """Reserved or in use, by version; that of the spare process among them."""
    room_bytes: int
    """That another version could get; below 0 where more is held than there is."""


class MemoryBudget:
    """Keeps the memory of all versions within the budget.

    Args:
        free_bytes: free memory of the machine or control group; blocks for milliseconds.
    """

    def __init__(self, free_bytes: Callable[[], int], limits: MemoryLimits) -> None:
        self._free_bytes = free_bytes
        self._limits = limits
        self._book = MemoryReservations()
        self._seen: dict[str, int] = {}
        """Measured resident bytes by identity, of the last load."""
        self._resident: dict[str, Callable[[], int]] = {}
        self._needs: dict[str, MemoryNeed] = {}
        self._spare: Spare | None = None
        # While one waits for an unload, another would count neither the version nor its memory.
        self._deciding = asyncio.Lock()

    async def reserve(self, version_id: str, need: MemoryNeed, occupants: Occupants) -> None:
        """Reserve memory for a version before its load; idle versions are unloaded for it.

        Raises:
            PreconditionError: it exceeds the budget even alone.
            OverloadedError: it does not fit beside versions that are in use or named by aliases.
        """
        if need.identity in self._seen:
            need = replace(need, resident_bytes=self._seen[need.identity])
        self._refuse_impossible(need)
        async with self._deciding:
            await self._make_room(version_id, need.total_bytes, occupants)
            self._needs[version_id] = need
            self._promise(version_id, need.total_bytes)

    async def confirm(
        self, version_id: str, resident: Callable[[], int], occupants: Occupants
    ) -> None:
        """Replace the estimate by the measured memory of the loaded engine.

        Raises:
            PreconditionError, OverloadedError: as `reserve`; the caller must close the version.
        """
        seen = await asyncio.to_thread(resident)
        need = replace(self._needs[version_id], resident_bytes=seen)
        self._seen[need.identity] = seen
        self._refuse_impossible(need)
        async with self._deciding:
            self._needs[version_id] = need
            self._resident[version_id] = resident
            self._promise(version_id, need.total_bytes)
            await self._make_room(version_id, 0, occupants)

    async def reserve_spare(self, spare: Spare) -> bool:
        """Reserve memory for the spare process, if it fits; it is stopped before any version."""
        async with self._deciding:
            if await self._measured_room() < spare.need_bytes:
                return False
            self._spare = spare
            self._resident[SPARE] = spare.resident_bytes
            self._book.reserve(SPARE, spare.need_bytes)
            return True

    async def state(self) -> MemoryState:
        """What is held, and what is left; measured now."""
        room = await self._measured_room()
        held = {name: self._book.held(name) for name in self._book.versions()}
        return MemoryState(self._limits, held, room)

    def release(self, version_id: str) -> None:
        """Remove the reservation of a version that is unloaded or failed to load."""
        self._book.remove(version_id)
        self._resident.pop(version_id, None)
        if self._needs.pop(version_id, None) is not None:
            VERSION_BYTES.remove(version_id)

    def _promise(self, version_id: str, total_bytes: int) -> None:
        self._book.reserve(version_id, total_bytes)
        VERSION_BYTES.labels(version_id).set(total_bytes)

    def _refuse_impossible(self, need: MemoryNeed) -> None:
        limit = self._limits.memory_bytes
        if need.total_bytes > limit:
            raise PreconditionError(
                f"the model needs about {_mib(need.total_bytes)} of memory "
                f"({_mib(need.later_bytes)} of it as requests come), "
                f"the limit here is {_mib(limit)}"
            ).because("MODEL_TOO_LARGE")

    async def _make_room(self, version_id: str, bytes_needed: int, occupants: Occupants) -> None:
        while True:
            room = await self._measured_room()
            idle = [name for name in occupants.idle() if name != version_id]
            wanted = self._limits.versions
            crowd = len(self._needs.keys() | {version_id})
            excess = 0 if wanted is None else max(0, crowd - wanted)
            if room >= bytes_needed and not excess:
                return
            if room < bytes_needed and self._spare is not None:
                await self._discard_spare(self._spare)
                continue
            could_come = sum(self._book.held(name) for name in idle)
            if room + could_come < bytes_needed or len(idle) < excess:
                # Do not unload anything if it would still not fit.
                raise self._no_room(room, bytes_needed, excess)
            await occupants.free(idle[0])

    async def _discard_spare(self, spare: Spare) -> None:
        self._spare = None
        await spare.discard()
        self._book.remove(SPARE)
        del self._resident[SPARE]

    def _no_room(self, room: int, bytes_needed: int, excess: int) -> OverloadedError:
        if excess:
            message = f"all {self._limits.versions} versions that may be loaded here are in use"
        else:
            message = (
                f"the model needs {_mib(bytes_needed)} of memory and {_mib(max(room, 0))} are "
                "free beside versions that are in use"
            )
        return OverloadedError(f"{message}. Retry", retry_after_seconds=RETRY_SECONDS)

    async def _measured_room(self) -> int:
        loaded = dict(self._resident)

        def measure() -> tuple[dict[str, int], int]:
            taken = {name: resident() for name, resident in loaded.items()}
            return taken, self._free_bytes()

        taken, free = await asyncio.to_thread(measure)
        for name, resident in taken.items():
            if name in self._resident:
                self._book.see(name, resident)
        FREE_BYTES.set(free)
        return self._book.room(free_bytes=free, limit_bytes=self._limits.memory_bytes)


def _mib(count: int) -> str:
    return f"{round(count / MIB):,} MiB"
