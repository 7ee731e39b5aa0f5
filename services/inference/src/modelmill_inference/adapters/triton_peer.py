"""A model on a Triton server, with the protocol of an engine's child process.

Each request has its own stream, which is ended by a message instead of a gRPC cancellation: Triton
2.51 leaks a call that is cancelled at its start or end, and then never unloads the model. Only
streams that do not end in time are cancelled.
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
"""Heartbeats per expiry time of an unused model."""
log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0
"""Triton reports a model as ready even after its process died: only a request detects that."""
EXPIRE_SECONDS = 60.0
"""A model without requests for this long ends itself: its service has gone."""
LEAVE_SECONDS = 3.0
UNLOAD_SECONDS = 5.0
ENDED = 0


class TritonReader:
    """The model for scores and embeddings, loaded on demand and again after a failure.

    Args:
        load: load message of the engine.
        expire_seconds: a model without requests for this long ends itself.
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
        """Response to a `score` or `embed`: `result`, `rejected` or `unavailable`."""
        ((_, body),) = message.items()
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_model())
        loading = self._loading
        try:
            # Other requests wait for the same load.
            name = await asyncio.shield(loading)
            answer: dict[str, Any] = await self._server.ask(name, message)
            return answer
        except LoadRefusedError as error:
            return {"rejected": [body["id"], str(error)]}
        except TritonBusyError:
            return {"unavailable": [body["id"], "too many scores or embeddings are queued. Retry"]}
        except UnavailableError:
            if self._loading is loading:
                await self.close()
            return {
                "unavailable": [
                    body["id"],
                    "the model for scores and embeddings is restarting. Retry",
                ]
            }

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
                # The next request gets the error and reloads the model.
                continue


class TritonPeer:
    """`engine_process.EnginePeer`: a model under a unique name."""

    def __init__(self, server: TritonServer, runner: str) -> None:
        self._server = server
        self._runner = runner
        self._name = ""
        self._reader: TritonReader | None = None
        self._updates: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._secret = secrets.token_hex(8)
        """Makes request keys unique among peers."""
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        """Other calls to the server."""
        self._heartbeat: asyncio.Task[None] | None = None
        self._is_lost = False

    @classmethod
    async def start(cls, address: TritonAddress, runner: str) -> "TritonPeer":
        """Connect. Raises UnavailableError if the server does not answer."""
        server = TritonServer(address)
        try:
            await server.wait_until_live(address.connect_seconds)
        except BaseException:
            await server.close()
            raise
        return cls(server, runner)

    @property
    def pid(self) -> None:
        return None

    @property
    def name(self) -> str:
        """Name of its model; empty before the load."""
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
            raise UnavailableError("Triton no longer has the model")
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
        """Let running calls end."""
        if self._reader is None or self._is_lost:
            return
        await self._converse({"leave": {}})
        # Not `gather`, which would cancel them with this task.
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
        self._heartbeat = asyncio.create_task(self._send_heartbeats())

    async def _read(self, message: Mapping[str, Any]) -> None:
        assert self._reader is not None, "nothing is asked before the load"
        self._updates.put_nowait(await self._reader.ask(message))

    async def _send_heartbeats(self) -> None:
        """Send heartbeats, so that hangs and crashes are detected even when idle."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            # In a separate task: cancelling this one must not cancel the call.
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
