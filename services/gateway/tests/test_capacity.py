"""Capacity: what workers, inference, queues and streams could take, and what is not known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_support.house import House, run_house
from gateway_support.job_orders import order
from modelmill.inference.v1.inference_service_pb2 import (
    ListServingResponse,
    ServedModel,
    ServingMemory,
)
from modelmill.jobs.v1.job_pb2 import Resources
from modelmill.jobs.v1.job_service_pb2 import WorkerLoad
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_gateway.domain.capacity import WorkerSlots, queue_capacity

NOWHERE = "127.0.0.1:9"
GB = 10**9
MODEL = {
    **{"version_id": "mv-build", "engine": "openvino", "memory_bytes": 7 * 10**8},
    **{"in_flight": 5, "max_in_flight": 64, "sequences": 4, "max_sequences": 8},
    **{"waiting": 1, "max_waiting": 32, "tokens": 2048, "max_tokens": 16384},
}


class LoadedWorker:
    """A worker with one of two slots in use."""

    load = WorkerLoad(
        worker="trainer-1",
        kinds=["train", "evaluate"],
        slots=2,
        busy_slots=1,
        short_slots=1,
        busy_short_slots=1,
        size=Resources(cpus=4, memory_bytes=8 * GB, gpus=1),
        free=Resources(cpus=1.5, memory_bytes=2 * GB, gpus=0),
    )


@pytest.fixture
def told(own_house: House) -> Iterator[House]:
    """A house whose trainer and inference tell of themselves."""
    own_house.capacity["trainer"].worker = LoadedWorker()
    own_house.inference.serving = ListServingResponse(
        memory=ServingMemory(limit_bytes=16 * GB, reserved_bytes=GB, room_bytes=9 * GB),
        models=[ServedModel(**MODEL)],
    )
    return own_house


async def capacity_of(house: House) -> dict[str, Any]:
    answer = await house.http(tenant="operators", scope=OPERATOR).get("/v1/capacity")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_workers_tell_slots_cores_memory_and_the_disk_of_artifacts(told: House):
    found = await capacity_of(told)

    processes = {each["service"]: each for each in found["processes"]}
    assert [*processes] == ["gateway", "data-prep", "trainer", "optimizer-builder"]
    trainer = processes["trainer"]
    assert trainer["worker"] == {
        **{"worker": "trainer-1", "kinds": ["train", "evaluate"], "slots": 2, "busy_slots": 1},
        **{"free_slots": 1, "short_slots": 1, "busy_short_slots": 1, "cpus": 4, "free_cpus": 1.5},
        **{"memory_bytes": 8 * GB, "free_memory_bytes": 2 * GB, "gpus": 1, "free_gpus": 0},
    }
    assert 0 < trainer["artifact_disk_free_bytes"] <= trainer["artifact_disk_bytes"]
    assert trainer["unknown"] is None
    own = processes["gateway"]
    assert (own["address"], own["worker"]["kinds"]) == ("this process", ["batch"])
    builder = processes["optimizer-builder"]
    assert builder["worker"] is None
    assert "runs no worker" in builder["unknown"]


async def test_inference_tells_memory_slots_and_queue_of_each_loaded_version(told: House):
    (replica,) = (await capacity_of(told))["replicas"]

    assert replica["models"] == [MODEL]
    memory = ("memory_limit_bytes", "memory_reserved_bytes", "memory_room_bytes")
    assert [replica[name] for name in memory] == [16 * GB, GB, 9 * GB]
    assert (replica["max_versions"], replica["unknown"]) == (None, None)


async def test_a_queue_tells_its_length_and_a_free_slot_means_no_wait(told: House):
    waiting = {each["kind"]: each for each in (await capacity_of(told))["queues"]}
    assert (waiting["train"]["free_slots"], waiting["train"]["expected_wait_seconds"]) == (1, 0)

    await order(told.http(tenant="orders"))
    queues = {each["kind"]: each for each in (await capacity_of(told))["queues"]}

    assert (queues["dataset"]["waiting"], queues["dataset"]["running"]) == (1, 0)
    assert queues["dataset"]["expected_wait_seconds"] is None
    assert "no worker of it told" in queues["dataset"]["unknown"]
    assert [*queues] == ["dataset", "train", "evaluate", "optimize", "batch"]


async def test_what_cannot_be_known_is_said_and_never_0(tmp_path: Path):
    async with run_house(tmp_path, trainer_address=NOWHERE, inference_address=NOWHERE) as house:
        found = await capacity_of(house)

    processes = {each["service"]: each for each in found["processes"]}
    assert processes["trainer"]["unknown"] == "it does not answer"
    assert processes["trainer"]["artifact_disk_free_bytes"] is None
    (replica,) = found["replicas"]
    assert (replica["unknown"], replica["memory_limit_bytes"]) == ("it does not answer", None)
    assert any("disk of the message broker" in each for each in found["unknown"])
    jobs = next(each for each in found["streams"] if each["name"] == "JOBS")
    assert 0 < jobs["free_bytes"] < 2 * GB


async def test_an_older_replica_that_tells_no_memory_says_so(own_house: House):
    own_house.inference.serving = ListServingResponse(models=[ServedModel(**MODEL)])

    (replica,) = (await capacity_of(own_house))["replicas"]

    assert "its release does not tell" in replica["unknown"]
    assert replica["models"] == []


async def test_operators_alone_see_it(own_house: House):
    client = own_house.http(tenant="acme", scope=" ".join(SCOPES))

    assert (await client.get("/v1/capacity")).status_code == 403


SLOTS = dict.fromkeys(
    (
        *("cpus", "free_cpus", "memory_bytes", "free_memory_bytes", "gpus", "free_gpus"),
        *("short_slots", "busy_short_slots"),
    ),
    0,
)
BUSY = WorkerSlots("w", ["train"], slots=1, busy_slots=1, **SLOTS)


def test_a_wait_is_told_only_where_something_says_so():
    def wait(running: int, starts_in: float | None) -> tuple[float | None, str]:
        found = queue_capacity(
            "train", waiting=0, running=running, workers=[BUSY], starts_in=starts_in
        )
        return found.expected_wait_seconds, found.unknown

    assert wait(1, 40.0) == (40.0, "")
    assert wait(1, None)[0] is None
    assert "too few jobs" in wait(1, None)[1]
    assert "no job of this kind is in work" in wait(0, None)[1]
