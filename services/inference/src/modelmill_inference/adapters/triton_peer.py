"""A model on a Triton server, spoken to like an engine's own process: the messages are the same.

Each request has a stream of its own. It is left by a message, not by gRPC's cancel: a call that is
cancelled just when it begins or ends stays in Triton 2.51 for good, and with it the model, which
then is never unloaded. Only what does not end in time is cancelled.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any

from modelmill_service_kit.errors import UnavailableError

from modelmill_inference.adapters.triton_server import (
    ENGINE,
    READER,
    LoadRefusedError,
    TritonAddress,
    TritonBusyError,
    TritonServer,
)

HEARTBEATS = 3
"""Signs of life in the time after which a model without any ends."""
log = logging.getLogger(__name__)
CONNECT_SECONDS = 10.0
HEARTBEAT_SECONDS = 1.0
"""A model whose process died answers nothing and still counts as ready: only asking it tells."""
EXPIRE_SECONDS = 60.0
"""A model that nobody asked for so long belongs to a service that is gone; it frees its memory."""
LEAVE_SECONDS = 3.0
UNLOAD_SECONDS = 5.0
ENDED = 0


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
        self._heartbeat: asyncio.Task[None] | None = None

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
        except LoadRefusedError as error:
            return {"rejected": [body["id"], str(error)]}
        except TritonBusyError:
            return {"unavailable": [body["id"], "too much is to be read. Retry"]}
        except UnavailableError:
            if self._loading is loading:
                await self.close()
            return {"unavailable": [body["id"], "what reads texts is restarting. Retry"]}

    async def close(self) -> None:
        """Unload it."""
        loading, heartbeat = self._loading, self._heartbeat
        self._loading = self._heartbeat = None
        for task in (loading, heartbeat):
            if task is not None and not task.done():
                task.cancel()
        if loading is not None:
            (name,) = await asyncio.gather(loading, return_exceptions=True)
            if isinstance(name, str):
                with suppress(UnavailableError, TritonBusyError):
                    await self._server.ask(name, {"leave": {}})
                await self._server.unload(name)

    async def _load_model(self) -> str:
        name = READER.new_name(self._load["folder"])
        parameters = {"load": json.dumps(self._load), "expire_seconds": str(self._expire_seconds)}
        await self._server.load(name, READER, parameters)
        self._heartbeat = asyncio.create_task(self._keep(name))
        return name

    async def _keep(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._expire_seconds / HEARTBEATS)
            try:
                await self._server.ask(name, {"ping": {}})
            except (UnavailableError, TritonBusyError):
                # Who asks next is told, and has it loaded again.
                continue


class TritonPeer:
    """`engine_peer.EnginePeer` by a model under a name that no other peer uses."""

    def __init__(self, server: TritonServer, runner: str) -> None:
        self._server = server
        self._runner = runner
        self._name = ""
        self._reader: TritonReader | None = None
        self._updates: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._secret = secrets.token_hex(8)
        """Makes the keys of requests unlike those of any other peer."""
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        """What else is said to the server."""
        self._heartbeat: asyncio.Task[None] | None = None
        self._is_lost = False

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
            if body in self._streams:
                self._start(self._converse({"cancel": {"key": self._key(body)}}))
        elif order == "add":
            number = body["id"]
            keyed = {"add": {**body, "key": self._key(number)}}
            self._streams[number] = stream = asyncio.create_task(self._converse(keyed))
            stream.add_done_callback(lambda _: self._streams.pop(number, None))
        else:
            self._start(self._read(message))

    def _key(self, number: int) -> str:
        return f"{self._secret}-{number}"

    async def receive(self) -> dict[str, Any]:
        message = await self._updates.get()
        if message is None:
            self._updates.put_nowait(None)
            raise UnavailableError("the model on Triton is gone")
        return message

    async def close(self, grace_seconds: float = 0.0) -> int:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._leave()
        tasks = [*self._streams.values(), *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(UNLOAD_SECONDS):
                await self._unload()
        except TimeoutError:
            log.warning("Triton did not unload %s; its process ends by itself", self._name)
        await self._server.close()
        return ENDED

    async def _leave(self) -> None:
        """Let everything end that is under way."""
        if self._reader is None or self._is_lost:
            return
        await self._converse({"leave": {}})
        # Not `gather`, which would cancel them with this.
        under_way = [*self._streams.values(), *self._others]
        if under_way:
            await asyncio.wait(under_way)

    async def _unload(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            await self._server.unload(self._name)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

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
        except LoadRefusedError as error:
            self._updates.put_nowait({"refused": str(error)})
            return
        except UnavailableError as error:
            self._lose(error)
            return
        await self._converse({"describe": {}})
        self._heartbeat = asyncio.create_task(self._ask_for_signs_of_life())

    async def _read(self, message: Mapping[str, Any]) -> None:
        assert self._reader is not None, "nothing is asked before the load"
        self._updates.put_nowait(await self._reader.ask(message))

    async def _ask_for_signs_of_life(self) -> None:
        """Each answer is a sign of life, so that a hang is one and a death is noticed when idle."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            # In a task of its own: a cancel of this one is none of the call.
            await asyncio.wait([self._start(self._converse({"ping": {}}))])

    async def _converse(self, message: Mapping[str, Any]) -> None:
        try:
            async with aclosing(self._server.rows(self._name, message)) as rows:
                async for row in rows:
                    if "died" in row:
                        raise UnavailableError(f"the engine's step failed: {row['died']}")
                    self._updates.put_nowait(row)
        except UnavailableError as error:
            self._lose(error)

    def _lose(self, error: UnavailableError) -> None:
        self._is_lost = True
        log.error("the model %s on Triton is lost: %s", self._name, error)
        self._updates.put_nowait(None)
