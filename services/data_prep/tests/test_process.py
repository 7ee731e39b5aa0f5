"""The service as a process of its own: it starts, answers, survives a kill, and stops cleanly."""

import signal
from pathlib import Path

import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.data_prep.v1 import data_prep_service_pb2_grpc as pb_grpc
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobProgress, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, job_progress, job_state
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.nats_server import NatsServer, run_nats
from modelmill_testkit.service_process import (
    SECRET,
    modules_loaded_by,
    refused_start,
    running_service,
    service_settings,
)
from modelmill_testkit.waiting import eventually


def settings(nats: NatsServer, root: Path, *, role: str = "both") -> dict[str, str]:
    """Claims that nobody renews are given to others soon."""
    return service_settings(nats, root) | {"claim_seconds": "2", "role": role}


async def order_dataset(address: str, rows: int) -> pb.CreateDatasetResponse:
    content = "word,kind\r\n" + "".join(f'"word\n{n}",{n % 5}\r\n' for n in range(rows))
    header = pb.UploadHeader(tenant="acme", filename="rows.csv")
    mapping = pb.RowMapping(user_template="What is {word}?", answer_template="{kind}")
    async with open_channel(address, SECRET) as channel:
        stub = pb_grpc.DataPrepServiceStub(channel)
        parts = [
            pb.UploadFileRequest(header=header),
            pb.UploadFileRequest(chunk=content.encode()),
            pb.UploadFileRequest(end=pb.FileEnd()),
        ]
        file = (await stub.UploadFile(iter(parts), timeout=60)).file
        spec = pb.DatasetSpec(file_id=file.file_id, mapping=mapping)
        request = pb.CreateDatasetRequest(tenant="acme", spec=spec)
        created: pb.CreateDatasetResponse = await stub.CreateDataset(request, timeout=60)
        return created


@pytest.mark.heavy
async def test_a_job_whose_worker_is_killed_ends_once(tmp_path: Path) -> None:
    async with (
        run_nats(tmp_path / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
    ):
        async with running_service("data_prep", settings(nats, tmp_path)) as service:
            job = await order_dataset(service.address, rows=2_000)
            await eventually(lambda: bus.last(job_progress(job.job_id), JobProgress))
            await service.stop(signal.SIGKILL)

        async with running_service("data_prep", settings(nats, tmp_path, role="work")) as service:
            state = await eventually(lambda: succeeded(bus, job.job_id))
            assert state is not None
            assert state.attempt == 2
            ready = await eventually(lambda: bus.last(DATASET_READY, DatasetReady))
            assert ready is not None
            assert ready.body.dataset_id == job.dataset_id
            assert ready.body.counts["rows_kept"] == 2_000
            assert await service.stop() == 0
        # The file's record and one announcement: nothing was said twice.
        assert await bus.last_sequence("DATASETS") == 2
        assert list((tmp_path / "work").glob("jobs/*/*/dataset")) == []


async def succeeded(bus: Bus, job_id: str) -> JobState | None:
    stored = await bus.last(job_state(job_id), JobState)
    return stored.body if stored and stored.body.status == JOB_STATUS_SUCCEEDED else None


async def test_it_starts_answers_health_and_stops_cleanly(tmp_path: Path) -> None:
    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service("data_prep", settings(nats, tmp_path)) as service,
    ):
        assert await service.is_healthy()

        assert await service.stop() == 0


async def test_the_service_itself_loads_neither_spacy_nor_torch() -> None:
    heavy = {"spacy", "thinc", "torch", "pyarrow", "numpy"}

    assert not heavy & await modules_loaded_by("modelmill_data_prep.main")


async def test_a_missing_setting_ends_it_with_one_line() -> None:
    status, said = await refused_start("data_prep", {"role": "boss"})

    assert status == 2
    assert "DATA_PREP_NATS_URL" in "\n".join(said)
    assert "DATA_PREP_ROLE" in "\n".join(said)


async def test_a_cluster_without_ray_beside_it_ends_it_with_one_line(
    tmp_path: Path,
) -> None:
    requested = {"nats_url": "nats://127.0.0.1:1", "nats_token": "t", "service_secret": SECRET}
    requested |= {"artifact_root": str(tmp_path), "work_root": str(tmp_path)}

    status, said = await refused_start("data_prep", requested | {"ray_address": "127.0.0.1:6379"})

    assert status == 2
    assert len(said) == 1
    assert "deploy/ray/requirements.txt" in said[0]
