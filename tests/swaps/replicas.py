"""Replicas of inference as processes of their own, each at an address that outlives it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill_service_kit.errors import NotFoundError, UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.ports import free_port
from modelmill_testkit.service_process import (
    SECRET,
    ServiceProcess,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually

TENANT = "acme"
EXACT = (
    '{"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", '
    '"KV_CACHE_PRECISION": "f32"}'
)
"""Answers do not depend on their neighbours: what a version says is known beforehand."""
ENGINE = "modelmill_inference.children"
VERSIONS_AT_A_TIME = 3
START_SECONDS = 60.0
CALL_SECONDS = 60.0


class Replica:
    """One of them; `serving` is what its health service says."""

    def __init__(self, name: str, nats: NatsServer, folder: Path) -> None:
        self.name = name
        self.serving = False
        self._address = f"127.0.0.1:{free_port()}"
        self._settings = service_settings(nats, folder) | {
            "grpc_address": self._address,
            "engine_properties": EXACT,
            "engine_threads": "1",
            # A drill kills children, and means those that answer.
            "transformers_spare": "false",
            "max_loaded": str(VERSIONS_AT_A_TIME),
        }
        self._life = AsyncExitStack()
        self._process: ServiceProcess | None = None
        self._channel: grpc.aio.Channel = open_channel(self._address, SECRET)
        self.stub: Any = pb_grpc.InferenceServiceStub(self._channel)

    async def start(self) -> float:
        """Start it; seconds until it says SERVING."""
        began = asyncio.get_running_loop().time()
        process = await self._life.enter_async_context(running_service("inference", self._settings))
        self._process = process
        await eventually(process.is_healthy, within=START_SECONDS)
        self.serving = True
        return asyncio.get_running_loop().time() - began

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self._process is not None
        self.serving = False
        await self._process.stop(signal.SIGKILL)
        await self._life.aclose()

    def kill_engines(self) -> int:
        """SIGKILL to its engines; how many there were."""
        assert self._process is not None
        killed = 0
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                if ENGINE in " ".join(child.cmdline()):
                    child.kill()
                    killed += 1
        return killed

    async def load(self, version_id: str) -> None:
        """As the gateway does before it moves an alias."""
        with domain_errors():
            await self.stub.LoadModel(
                pb.LoadModelRequest(tenant=TENANT, version_id=version_id), timeout=CALL_SECONDS
            )

    async def generate(self, model: str, text: str, tokens: int) -> AsyncIterator[Any]:
        """Messages of one greedy answer.

        Raises:
            UnavailableError: the replica died or is not there.
        """
        request = pb.GenerateRequest(
            tenant=TENANT,
            model=model,
            text=text,
            options=pb.SamplingOptions(max_new_tokens=tokens),
        )
        with domain_errors():
            async for message in self.stub.Generate(request, timeout=CALL_SECONDS):
                yield message

    async def version_of(self, alias: str) -> str:
        """The version that answers an alias here; empty while none does."""
        try:
            messages = [message async for message in self.generate(alias, "x", 1)]
        except (UnavailableError, NotFoundError):  # it has not heard of the alias yet
            return ""
        return str(messages[-1].end.version_id)

    async def close(self) -> None:
        """End it for good."""
        self.serving = False
        await self._life.aclose()
        await self._channel.close()


@asynccontextmanager
async def running_replicas(
    nats: NatsServer, folder: Path, names: tuple[str, ...] = ("a", "b")
) -> AsyncIterator[list[Replica]]:
    """All of them, SERVING; ended with the block."""
    replicas = [Replica(name, nats, folder) for name in names]
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas
    finally:
        for replica in replicas:
            await replica.close()
