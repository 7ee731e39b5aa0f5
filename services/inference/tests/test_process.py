"""The service as a process of its own: it starts, answers health, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from grpc.aio import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jobs.bus import Bus
from jobs.subjects import MODEL_READY
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import ModelReady
from service_kit.grpc_client import open_channel
from testkit.nats_server import NatsServer, run_nats
from testkit.waiting import eventually

from .support import SECRET

IDLE, BUSY = (f"mv-{number:032x}" for number in (1, 2))


@asynccontextmanager
async def running(
    nats: NatsServer, root: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that said READY, and its gRPC address; dead when the block ends."""
    env = {
        "INFERENCE_NATS_URL": nats.url,
        "INFERENCE_NATS_TOKEN": nats.token,
        "INFERENCE_SERVICE_SECRET": SECRET,
        "INFERENCE_ARTIFACT_ROOT": str(root),
        "INFERENCE_ENGINE_PROPERTIES": '{"INFERENCE_PRECISION_HINT": "f32"}',
        "INFERENCE_DRAIN_SECONDS": "5",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference.main"),
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        words = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        assert words[0] == "READY"
        ports = dict(word.split("=") for word in words[1:])
        yield process, f"127.0.0.1:{ports['grpc']}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_starts_answers_and_leaves_no_engines_behind(
    tmp_path: Path, artifact_root: Path, digest: str, number: signal.Signals
) -> None:
    async with (
        run_nats(tmp_path) as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
    ):
        for version_id in (IDLE, BUSY):
            model = ModelReady(version_id=version_id, tenant="acme", digest=digest)
            model.form = "openvino-int8"
            await bus.publish(MODEL_READY, model)
        async with running(nats, artifact_root) as (process, address):
            assert await health_of(address) == health_pb2.HealthCheckResponse.SERVING
            async with open_channel(address, SECRET) as channel:
                stub = pb_grpc.InferenceServiceStub(channel)
                loading = pb.LoadModelRequest(tenant="acme", version_id=IDLE)
                await stub.LoadModel(loading, timeout=30)
                request = pb.GenerateRequest(tenant="acme", version_id=BUSY, text="a")
                stream = stub.Generate(request, timeout=30)
                await anext(aiter(stream))
                engines = psutil.Process(process.pid).children(recursive=True)
                assert len(engines) == 2

                process.send_signal(number)

                if number == signal.SIGTERM:
                    # The call in hand is finished.
                    pieces = [piece async for piece in stream]
                    assert pieces[-1].end.finish_reason in ("stop", "length")
                    assert await asyncio.wait_for(process.wait(), 15) == 0
        await eventually(lambda: not any(engine.is_running() for engine in engines))


async def health_of(address: str) -> int:
    async with insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    status: int = answer.status
    return status


async def test_it_imports_no_engine() -> None:
    check = (
        "import sys, inference.main\n"
        "sys.exit(bool({'openvino', 'openvino_genai', 'torch', 'numpy'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", check)

    assert await process.wait() == 0
