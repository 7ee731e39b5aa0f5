"""A pre-warmed child process with imported libraries, so that the next engine loads faster."""

import asyncio
import logging
from typing import Any

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.machine_size import resident_memory

from modelmill_inference.adapters.restart_backoff import RestartBackoff

log = logging.getLogger(__name__)

NEED_BYTES = 512 * 1024 * 1024
"""Resident memory of torch 2.13 and transformers 5.5 after import: 440 MiB."""


class SpareChild:
    """Keeps one warm child of a module, and replaces it after use.

    A child has loaded no model before it is taken, and is never reused: no tenant's data leaks.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: ChildProcess | None = None
        self._watch: asyncio.Task[Any] | None = None
        """Waits for the warm child to end."""
        self._discarded = False

    @property
    def is_warm(self) -> bool:
        """Whether a warm child is available."""
        return self._child is not None and self._watch is not None

    @property
    def need_bytes(self) -> int:
        """Expected memory."""
        return NEED_BYTES

    def resident_bytes(self) -> int:
        """Resident memory; blocks for milliseconds."""
        child = self._child
        return 0 if child is None else resident_memory(child.pid)

    async def run(self) -> None:
        """Keep one until cancelled or discarded, or until it fails too often."""
        backoff = RestartBackoff()
        while not self._discarded:
            delay = backoff.add(answered=await self._keep_one())
            if delay is None:
                log.error("the spare engine process %s", backoff)
                return
            await asyncio.sleep(delay)

    async def take(self) -> ChildProcess | None:
        """Hand over the warm child; None if there is none."""
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
        """Stop permanently and free the memory."""
        self._discarded = True
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _keep_one(self) -> bool:
        """Start and warm one, and wait until it is taken; False if it failed."""
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
