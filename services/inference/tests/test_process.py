"""The service as a process of its own: it starts, answers health, and leaves nothing behind."""

import signal
from pathlib import Path

import psutil
import pytest
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1 import inference_service_pb2_grpc as pb_grpc
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import domain_errors, open_channel
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.service_process import (
    SECRET,
    modules_loaded_by,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually

from .support import ANSWER_SECONDS

IDLE, BUSY = (f"mv-{number:032x}" for number in (1, 2))


def settings(nats: NatsServer, artifact_root: Path) -> dict[str, str]:
    return service_settings(nats, artifact_root) | {
        "artifact_root": str(artifact_root),
        "engine_properties": '{"INFERENCE_PRECISION_HINT": "f32"}',
        "drain_seconds": "5",
        "engine_max_sequences": "1",
        # Children are counted.
        "transformers_spare": "false",
    }


async def is_busy(stub: pb_grpc.InferenceServiceStub, *, requests: int) -> bool:
    """Whether at least so many requests have come to the one version."""
    serving = await stub.ListServing(pb.ListServingRequest(), timeout=60)
    return {model.version_id: model.in_flight for model in serving.models}[BUSY] >= requests


IN_LINE = 12


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
        async with running_service("inference", settings(nats, artifact_root)) as service:
            await eventually(service.is_healthy)
            async with open_channel(service.address, SECRET) as channel:
                stub = pb_grpc.InferenceServiceStub(channel)
                loading = pb.LoadModelRequest(tenant="acme", version_id=IDLE)
                await stub.LoadModel(loading, timeout=ANSWER_SECONDS)
                request = pb.GenerateRequest(tenant="acme", model=BUSY, text="a")
                stream = stub.Generate(request, timeout=ANSWER_SECONDS)
                await anext(aiter(stream))
                # One at a time: however short answers are, some of these wait when it is looked.
                *_, waiting = [
                    stub.Generate(request, timeout=ANSWER_SECONDS) for _ in range(IN_LINE)
                ]
                await eventually(lambda: is_busy(stub, requests=IN_LINE // 2))
                assert len(children_that_run("modelmill_inference.children", of=service.pid)) == 2
                children = psutil.Process(service.pid).children(recursive=True)

                service.process.send_signal(number)

                if number == signal.SIGTERM:
                    # The call in hand is finished; another replica may have room for who waits.
                    with pytest.raises(UnavailableError, match="stopping"), domain_errors():
                        await waiting.read()
                    pieces = [piece async for piece in stream]
                    assert pieces[-1].end.finish_reason in ("stop", "length")
                    assert await service.ended() == 0
        await eventually(lambda: not any(child.is_running() for child in children))


async def test_it_imports_no_engine() -> None:
    heavy = {"openvino", "openvino_genai", "torch", "numpy"}

    assert not heavy & await modules_loaded_by("modelmill_inference.main")
