"""A spare child: its libraries are imported, so that the next engine of its kind loads sooner."""

import asyncio
import logging
from typing import Any

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.machine_size import resident_memory

from modelmill_inference.adapters.restart_backoff import RestartBackoff

log = logging.getLogger(__name__)

NEED_BYTES = 512 * 1024 * 1024
"""torch 2.13 and transformers 5.5 hold 440 MiB once they are imported."""


class SpareChild:
    """Keeps one child of a module warm; when it is taken, the next.

    It was told of no model, and who takes it has it alone: nothing of a tenant is ever in it.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: ChildProcess | None = None
        self._watch: asyncio.Task[Any] | None = None
        """Waits for the end of the warm child."""
        self._discarded = False

    @property
    def is_warm(self) -> bool:
        """Somebody may take it now."""
        return self._child is not None and self._watch is not None

    @property
    def need_bytes(self) -> int:
        """Memory that it comes to."""
        return NEED_BYTES

    def resident_bytes(self) -> int:
        """Memory that it holds now; blocks for milliseconds."""
        child = self._child
        return 0 if child is None else resident_memory(child.pid)

    async def run(self) -> None:
        """Keep one, until cancelled or discarded, or until it dies too often."""
        backoff = RestartBackoff()
        while not self._discarded:
            delay = backoff.add(answered=await self._keep_one())
            if delay is None:
                log.error("the spare engine process %s", backoff)
                return
            await asyncio.sleep(delay)

    async def take(self) -> ChildProcess | None:
        """The warm child, to be told what to load; None while there is none."""
        child, watch = self._child, self._watch
        if child is None or watch is None or watch.done():
            return None
        self._child = self._watch = None
        watch.cancel()
        try:
            await asyncio.gather(watch, return_exceptions=True)
        except BaseException:
            await child.close()
            raise
        return child

    async def discard(self) -> None:
        """Give its memory back for good."""
        self._discarded = True
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _keep_one(self) -> bool:
        """Start and warm one, and wait until it is gone; whether that was as it should be."""
        try:
            child = await ChildProcess.start(self._module)
        except OSError as error:
            log.error("the spare engine process does not start: %s", error)
            return False
        if self._discarded:
            await child.close()
            return True
        self._child = child
        try:
            child.send({"warm": True})
            await child.receive()
            watch = self._watch = asyncio.create_task(child.receive())
            await asyncio.gather(watch, return_exceptions=True)
        except UnavailableError:
            pass
        finally:
            is_left = self._child is child
            if is_left:
                self._child = self._watch = None
                await child.close()
        return not is_left
