"""Scores and vectors on a Triton server, by a second model of a version that Triton batches for."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from modelmill_service_kit.errors import UnavailableError

from modelmill_inference.adapters.triton_model import READER
from modelmill_inference.adapters.triton_server import FullError, RefusedError, TritonServer

PULSES = 3
"""Signs of life in the time after which a model without any ends."""


class TritonReader:
    """The model, loaded when it is first asked, and again when it is lost.

    Args:
        load: as the engine is told it.
        expire_seconds: a model that is not asked for so long frees its memory by itself.
    """

    def __init__(
        self, server: TritonServer, load: Mapping[str, Any], expire_seconds: float
    ) -> None:
        self._server = server
        self._load = load
        self._expire_seconds = expire_seconds
        self._loading: asyncio.Task[str] | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What became of a `score` or an `embed`: `result`, `rejected` or `unavailable`."""
        ((_, body),) = message.items()
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_model())
        loading = self._loading
        try:
            # Others wait for it, too.
            name = await asyncio.shield(loading)
            answer: dict[str, Any] = await self._server.ask(name, message)
            return answer
        except RefusedError as error:
            return {"rejected": [body["id"], str(error)]}
        except FullError:
            return {"unavailable": [body["id"], "too much is to be read. Retry"]}
        except UnavailableError:
            if self._loading is loading:
                await self.close()
            return {"unavailable": [body["id"], "what reads texts is restarting. Retry"]}

    async def close(self) -> None:
        """Unload it."""
        loading, pulse = self._loading, self._pulse
        self._loading = self._pulse = None
        for task in (loading, pulse):
            if task is not None and not task.done():
                task.cancel()
        if loading is not None:
            (name,) = await asyncio.gather(loading, return_exceptions=True)
            if isinstance(name, str):
                with suppress(UnavailableError, FullError):
                    await self._server.ask(name, {"leave": {}})
                await self._server.unload(name)

    async def _load_model(self) -> str:
        name = READER.new_name(self._load["folder"])
        parameters = {"load": json.dumps(self._load), "expire_seconds": str(self._expire_seconds)}
        await self._server.load(name, READER, parameters)
        self._pulse = asyncio.create_task(self._keep(name))
        return name

    async def _keep(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._expire_seconds / PULSES)
            try:
                await self._server.ask(name, {"ping": {}})
            except (UnavailableError, FullError):
                # Who asks next is told, and has it loaded again.
                continue
