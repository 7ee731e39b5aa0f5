"""Use case: give back the memory of versions that nobody wants any more."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class Occupied(Protocol):
    """Versions that are loaded; see `lease_version.VersionPool`."""

    def idle(self, *, for_seconds: float) -> Sequence[str]: ...

    async def free(self, version_id: str) -> None: ...


class FreeIdle:
    """Unloads what no alias names and nobody has used for a while.

    Args:
        idle_seconds: long enough that a rollback finds the version before still warm.
    """

    def __init__(self, versions: Occupied, idle_seconds: float) -> None:
        self._versions = versions
        self._idle_seconds = idle_seconds

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(min(self._idle_seconds, LOOK_SECONDS))
            # Looked up anew for each: while one ends, the next may be asked for.
            while idle := self._versions.idle(for_seconds=self._idle_seconds):
                log.info("%s was idle for %g s", idle[0], self._idle_seconds)
                await self._versions.free(idle[0])
