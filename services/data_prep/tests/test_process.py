"""The service as a process of its own: it starts, answers, survives a kill, and stops cleanly."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpc.aio import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jobs.bus import Bus
from jobs.subjects import DATASET_READY, job_progress, job_state
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobProgress, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from service_kit.grpc_client import open_channel
from testkit.nats_server import NatsServer, run_nats
from testkit.waiting import eventually

SECRET = "a-secret-of-the-tests"


@asynccontextmanager
async def run_data_prep(
    nats: NatsServer, root: Path, *, role: str = "both"
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process and its gRPC address; killed when the block ends, if it still runs."""
    env = {
        "DATA_PREP_NATS_URL": nats.url,
        "DATA_PREP_NATS_TOKEN": nats.token,
        "DATA_PREP_SERVICE_SECRET": SECRET,
        "DATA_PREP_ARTIFACT_ROOT": str(root / "artifacts"),
        "DATA_PREP_WORK_ROOT": str(root / "work"),
        "DATA_PREP_CLAIM_SECONDS": "2",
        "DATA_PREP_ROLE": role,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "data_prep.main"),
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


async def order_dataset(address: str, rows: int) -> pb.CreateDatasetResponse:
    content = "word,kind\r\n" + "".join(f'"word\n{n}",{n % 5}\r\n' for n in range(rows))
    header = pb.UploadHeader(tenant="acme", filename="rows.csv")
    mapping = pb.RowMapping(user_template="What is {word}?", answer_template="{kind}")
    async with open_channel(address, SECRET) as channel:
        stub = pb_grpc.DataPrepServiceStub(channel)
        parts = [pb.UploadFileRequest(header=header), pb.UploadFileRequest(chunk=content.encode())]
        file = (await stub.UploadFile(iter(parts), timeout=20)).file
        spec = pb.DatasetSpec(file_id=file.file_id, mapping=mapping)
        request = pb.CreateDatasetRequest(tenant="acme", spec=spec)
        created: pb.CreateDatasetResponse = await stub.CreateDataset(request, timeout=20)
        return created


@pytest.mark.heavy
async def test_a_job_whose_worker_is_killed_ends_once(tmp_path: Path) -> None:
    async with (
        run_nats(tmp_path / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
    ):
        async with run_data_prep(nats, tmp_path) as (process, address):
            job = await order_dataset(address, rows=2_000)
            await eventually(lambda: bus.last(job_progress(job.job_id), JobProgress), within=30)
            process.kill()
            await process.wait()

        async with run_data_prep(nats, tmp_path, role="work") as (process, _):

            async def success() -> JobState | None:
                stored = await bus.last(job_state(job.job_id), JobState)
                return (
                    stored.body if stored and stored.body.status == JOB_STATUS_SUCCEEDED else None
                )

            state = await eventually(success, within=60)
            assert state is not None
            assert state.attempt == 2
            ready = await eventually(lambda: bus.last(DATASET_READY, DatasetReady))
            assert ready is not None
            assert ready.body.dataset_id == job.dataset_id
            assert ready.body.counts["rows_kept"] == 2_000
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 15) == 0
        # The file's record and one announcement: nothing was said twice.
        assert await bus.last_sequence("DATASETS") == 2
        assert list((tmp_path / "work").glob("jobs/*/*/dataset")) == []


async def test_it_starts_answers_health_and_stops_cleanly(tmp_path: Path) -> None:
    async with (
        run_nats(tmp_path / "nats") as nats,
        run_data_prep(nats, tmp_path) as (
            process,
            address,
        ),
    ):
        async with insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 15) == 0


def test_the_service_itself_loads_neither_spacy_nor_torch() -> None:
    check = (
        "import sys, data_prep.main;"
        "loaded = {'spacy', 'thinc', 'torch', 'pyarrow', 'numpy'} & set(sys.modules);"
        "sys.exit(str(loaded) if loaded else 0)"
    )

    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()


def test_a_missing_setting_ends_it_with_one_line() -> None:
    env = {"PATH": os.environ["PATH"], "DATA_PREP_ROLE": "boss"}

    done = subprocess.run(
        [sys.executable, "-m", "data_prep.main"], capture_output=True, check=False, env=env
    )

    assert done.returncode == 2
    message = done.stderr.decode()
    assert "DATA_PREP_NATS_URL" in message
    assert "DATA_PREP_ROLE" in message
