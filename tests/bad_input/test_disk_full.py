"""A full disk: one clear error, nothing half-written to see, and on it goes once there is space."""

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_bus.broker_config import owner_authorization
from modelmill_bus.bus import Bus
from modelmill_bus.errors import BrokerDiskFullError
from modelmill_cli.broker import FullDiskWatch, broker_command
from modelmill_cli.process_group import ProcessGroup
from modelmill_cli.state_folder import StateFolder
from modelmill_client import ApiStatusError
from modelmill_service_kit.bus_access import OwnerPassword
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

from tests.bad_input.mill import StartedMill, full_disk

pytestmark = pytest.mark.timeout(240)

ROWS = "".join(
    json.dumps({"word": f"w{number}", "gloss": "what it is", "label": "thing"}) + "\n"
    for number in range(40)
)
MAPPING = {
    "system_template": "Name the kind.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{label}",
}


def service(stack: StartedMill, name: str) -> psutil.Process:
    return psutil.Process(stack.state.read_runtime().pids[name])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text(ROWS)
    return file


def artifacts(stack: StartedMill) -> list[Path]:
    return sorted((stack.state.artifacts / "manifests").iterdir())


def test_an_upload_that_finds_no_space_is_refused_in_one_line_and_taken_later(
    stack: StartedMill, rows: Path
):
    before = artifacts(stack)
    with stack.client() as client:
        listed = [*client.files.list()]
        with full_disk(service(stack, "data_prep")), pytest.raises(ApiStatusError) as refused:
            client.files.upload(rows)
        assert "507: disk full on " in refused.value.message
        assert "Free space" in refused.value.message
        assert [*client.files.list()] == listed
        assert artifacts(stack) == before

        assert client.files.upload(rows)["bytes"] == len(ROWS)


def test_a_job_that_finds_no_space_is_tried_again_and_is_not_lost(stack: StartedMill, rows: Path):
    with stack.client() as client:
        file_id = client.files.upload(rows)["id"]
        body = {"file_id": file_id, "name": "kinds", "mapping": MAPPING}

        def job(job_id: str) -> dict:
            return client.jobs.retrieve(job_id)

        # Accepting a job reads its file, which needs room once; what is left is the work's own.
        client.datasets.create(**body)
        with full_disk(service(stack, "data_prep")):
            job_id = client.datasets.create(**body | {"name": "again"})["job_id"]
            wait_until(lambda: job(job_id)["failures"] or job(job_id)["lost"])
            assert job(job_id)["result"] is None
        wait_until(lambda: job(job_id)["status"] in ("succeeded", "failed"))
        assert job(job_id)["status"] == "succeeded", job(job_id)


def wait_until(condition, within: float = 90.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk; the other way to fill one runs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@asynccontextmanager
async def broker_on(folder: Path, log: list[str]) -> AsyncIterator[tuple[ProcessGroup, Bus]]:
    """The broker as `mill up` runs it, and a connection to it."""
    state = StateFolder(folder / "state")
    port, password = free_port(), OwnerPassword("password")
    with state.locked():
        watch = FullDiskWatch(
            state.bus, lambda _, line: log.append(line), lambda: group.running["nats"].restart()
        )
        command = broker_command(state, port=port, admitted=owner_authorization(password))
        async with ProcessGroup(watch.see, mark=state.mark) as group:
            await group.start({"nats": command})
            async with Bus.connect(f"nats://127.0.0.1:{port}", password, name="test") as bus:
                yield group, bus
            await watch.stop()


async def stored(bus: Bus, name: str) -> bool:
    """Whether a record was stored."""
    return await refusal(bus, name) is None


async def refusal(bus: Bus, name: str) -> UnavailableError | None:
    """Why a record was not stored; None when it was."""
    record = FileState(file_id=name, tenant="acme", filename="x" * 200)
    try:
        await bus.publish(f"file.state.{name}", record)
    except UnavailableError as error:
        return error
    return None


async def test_a_broker_whose_disk_was_full_keeps_what_it_took_and_goes_on_by_itself(small_disk):
    log: list[str] = []
    async with broker_on(small_disk, log) as (_, bus):
        assert await stored(bus, "before")
        with (small_disk / "filler").open("wb") as filler, suppress(OSError):
            while True:
                os.write(filler.fileno(), bytes(4096))
        taken = 0
        while (refused := await refusal(bus, f"file-{taken}")) is None:
            taken += 1
        assert isinstance(refused, BrokerDiskFullError)
        await eventually(lambda: any("disk full on" in line for line in log))
        (small_disk / "filler").unlink()

        await eventually(lambda: any("starting the broker anew" in line for line in log))
        await eventually(lambda: stored(bus, "after"), within=30)
        assert await bus.last("file.state.before", FileState) is not None
        for number in range(taken):
            assert await bus.last(f"file.state.file-{number}", FileState) is not None
        assert await bus.last(f"file.state.file-{taken}", FileState) is None


@pytest.mark.tier("drills")
async def test_a_broker_that_may_write_no_longer_comes_back_with_all_that_it_took(tmp_path):
    log: list[str] = []
    async with broker_on(tmp_path, log) as (group, bus):
        assert await stored(bus, "before")
        with full_disk(psutil.Process(group.running["nats"].pid)):
            assert not await stored(bus, "meanwhile")
        await eventually(lambda: stored(bus, "after"), within=30)
        assert await bus.last("file.state.before", FileState) is not None
