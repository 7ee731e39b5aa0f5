"""A model on a Triton server, spoken to like an engine's own process: the messages are the same.

Each request has a stream of its own, so that leaving it is gRPC's cancel, which Triton hands down
to the model (and which it has for whole streams only).
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from service_kit.errors import UnavailableError

from inference.adapters.triton_model import ENGINE
from inference.adapters.triton_reader import TritonReader
from inference.adapters.triton_server import RefusedError, TritonAddress, TritonServer

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
PULSE_SECONDS = 1.0
"""A model whose process died answers nothing and still counts as ready: only asking it tells."""
EXPIRE_SECONDS = 60.0
"""A model that nobody asked for so long belongs to a service that is gone; it frees its memory."""
UNLOAD_SECONDS = 5.0
ENDED = 0


class TritonPeer:
    """`engine_peer.EnginePeer` by a model under a name that no other peer uses."""

    def __init__(self, server: TritonServer, runner: str) -> None:
        self._server = server
        self._runner = runner
        self._name = ""
        self._reader: TritonReader | None = None
        self._news: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._own: set[asyncio.Task[None]] = set()
        """Loading, asking what it can do, and the pulse."""

    @classmethod
    async def start(cls, address: TritonAddress, runner: str) -> "TritonPeer":
        """A peer at a server that answers; UnavailableError: none does."""
        server = TritonServer(address)
        try:
            await server.wait_until_live(CONNECT_SECONDS)
        except BaseException:
            await server.close()
            raise
        return cls(server, runner)

    @property
    def pid(self) -> None:
        return None

    @property
    def name(self) -> str:
        """Of its model; empty before it is told to load."""
        return self._name

    def send(self, message: Mapping[str, Any]) -> None:
        ((order, body),) = message.items()
        if order == "load":
            self._start(self._load(body))
        elif order == "cancel":
            stream = self._streams.pop(body, None)
            if stream is not None:
                stream.cancel()
        else:
            number = body["id"]
            work = self._converse(message) if order == "add" else self._read(message)
            self._streams[number] = stream = asyncio.create_task(work)
            stream.add_done_callback(lambda _: self._streams.pop(number, None))

    async def receive(self) -> dict[str, Any]:
        message = await self._news.get()
        if message is None:
            self._news.put_nowait(None)
            raise UnavailableError("the model on Triton is gone")
        return message

    async def close(self) -> int:
        return await self.kill()

    async def kill(self) -> int:
        tasks = [*self._streams.values(), *self._own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(UNLOAD_SECONDS):
                if self._reader is not None:
                    await self._reader.close()
                    await self._server.unload(self._name)
        except TimeoutError:
            log.warning("Triton did not unload %s; it is left to expire", self._name)
        await self._server.close()
        return ENDED

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._own.add(task)
        task.add_done_callback(self._own.discard)

    async def _load(self, load: Mapping[str, Any]) -> None:
        self._name = ENGINE.new_name(load["folder"])
        self._reader = TritonReader(self._server, load, EXPIRE_SECONDS)
        parameters = {
            "runner": self._runner,
            "load": json.dumps(load),
            "piece_seconds": str(load.get("piece_seconds", 0.0)),
            "expire_seconds": str(EXPIRE_SECONDS),
        }
        await self._server.sweep()
        try:
            await self._server.load(self._name, ENGINE, parameters)
        except RefusedError as error:
            self._news.put_nowait({"refused": str(error)})
            return
        except UnavailableError as error:
            self._lose(error)
            return
        await self._converse({"describe": {}})
        self._start(self._pulse())

    async def _read(self, message: Mapping[str, Any]) -> None:
        assert self._reader is not None, "nothing is asked before the load"
        self._news.put_nowait(await self._reader.ask(message))

    async def _pulse(self) -> None:
        """Each answer is a sign of life, so that a hang is one and a death is noticed when idle."""
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            await self._converse({"ping": {}})

    async def _converse(self, message: Mapping[str, Any]) -> None:
        try:
            async with aclosing(self._server.rows(self._name, message)) as rows:
                async for row in rows:
                    if "died" in row:
                        raise UnavailableError(f"the engine's step failed: {row['died']}")
                    self._news.put_nowait(row)
        except UnavailableError as error:
            self._lose(error)

    def _lose(self, error: UnavailableError) -> None:
        log.error("the model %s on Triton is lost: %s", self._name, error)
        self._news.put_nowait(None)
