"""The bytes of deleted files and datasets are gone from the disk, and nobody else's are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired, FileState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, file_state
from modelmill_data_prep.erase_deleted import EraseDeleted
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.shared_nats import SharedNats
from modelmill_testkit.waiting import eventually

PERSON = "Wilhelmina Quist"


def rows_about(person: str) -> list[dict[str, str]]:
    return [{"q": f"question {n} of {person}", "a": ("yes", "no")[n % 2]} for n in range(20)]


def files_with(text: str, root: Path) -> list[Path]:
    """Files below `root` that contain a text."""
    found = []
    for path in root.rglob("*"):
        try:
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(path)
        except FileNotFoundError:
            pass  # it went meanwhile
    return found


async def erased(text: str, root: Path) -> None:
    async def gone() -> bool:
        return not await asyncio.to_thread(files_with, text, root)

    await eventually(gone)


async def delete_file(data_prep: Any, file_id: str) -> None:
    with domain_errors():
        request = pb.DeleteFileRequest(tenant="acme", file_id=file_id)
        await data_prep.stub.DeleteFile(request, timeout=60)


async def delete_dataset(data_prep: Any, dataset_id: str) -> None:
    request = pb.DeleteDatasetRequest(tenant="acme", dataset_id=dataset_id, requested_by="ann")
    with domain_errors():
        await data_prep.stub.DeleteDataset(request, timeout=60)


async def test_what_is_said_of_a_person_is_gone_once_file_and_dataset_are_deleted(
    working_data_prep: Any,
) -> None:
    data_prep = working_data_prep
    file = await data_prep.upload(rows_about(PERSON))
    job = await data_prep.create(file.file_id)
    assert (await data_prep.ended(job.job_id)).status == JOB_STATUS_SUCCEEDED
    assert await data_prep.download(file.file_id)  # a copy for readers is made
    await delete_file(data_prep, file.file_id)

    async def of_dataset_alone() -> bool:
        left = await asyncio.to_thread(files_with, PERSON, data_prep.root)
        return bool(left) and not any(path.name == "content" for path in left)

    await eventually(of_dataset_alone)
    await delete_dataset(data_prep, job.dataset_id)
    await erased(PERSON, data_prep.root)


async def test_a_file_of_the_same_content_stays_and_so_does_one_uploaded_after_the_deletion(
    data_prep: Any,
) -> None:
    first, second = [await data_prep.upload(rows_about(PERSON)) for _ in range(2)]
    for _ in range(5):
        await delete_file(data_prep, first.file_id)
        first = await data_prep.upload(rows_about(PERSON))
    await delete_file(data_prep, first.file_id)

    await absent(data_prep.store, first.digest)
    content = await data_prep.download(second.file_id)
    assert content.count(PERSON.encode()) == 20
    data_prep.store.verify(second.digest)
    await delete_file(data_prep, second.file_id)
    await erased(PERSON, data_prep.root)


@pytest_asyncio.fixture
async def bus(broker: NatsServer | SharedNats) -> AsyncIterator[Bus]:
    async with Bus.connect(broker.url, broker.token, name="test") as connected:
        yield connected


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def committed(
    store: FolderStore, tmp_path: Path, text: str, kind: str = "dataset", **made_from: str
) -> str:
    folder = tmp_path / text
    folder.mkdir()
    (folder / "content").write_text(text)
    return store.commit(folder, kind=kind, form="x", made_from=made_from).digest


@asynccontextmanager
async def erasing(bus: Bus, store: FolderStore) -> AsyncIterator[None]:
    """Erase as a service does that has just started."""
    running = asyncio.create_task(EraseDeleted(bus, store).run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def absent(store: FolderStore, digest: str) -> None:
    async def gone() -> bool:
        return not await asyncio.to_thread(store.present, [digest])

    await eventually(gone)


async def test_what_was_deleted_while_nobody_ran_is_erased_at_the_start(
    bus: Bus, store: FolderStore, tmp_path: Path
) -> None:
    gone, shared, kept, foreign, again = (
        committed(store, tmp_path, name) for name in ("gone", "shared", "kept", "foreign", "again")
    )
    for dataset_id, digest in (
        ("ds-gone", gone), ("ds-one", shared), ("ds-two", shared), ("ds-kept", kept),
        ("ds-again", again),
    ):  # fmt: skip
        ready = DatasetReady(dataset_id=dataset_id, tenant="acme", digest=digest)
        await bus.publish(DATASET_READY, ready)
    file = FileState(file_id="file-1", tenant="acme", digest=foreign)
    await bus.publish(file_state("file-1"), file)
    for dataset_id, tenant in (
        ("ds-gone", "acme"), ("ds-one", "acme"), ("ds-kept", "rival"), ("ds-again", "acme"),
        ("ds-early", "acme"),
    ):  # fmt: skip
        await bus.publish(DATASET_RETIRED, DatasetRetired(dataset_id=dataset_id, tenant=tenant))
    # The same rows again; and a dataset whose end was told before it was announced.
    await bus.publish(DATASET_READY, DatasetReady(dataset_id="ds-new", tenant="acme", digest=again))
    early = DatasetReady(dataset_id="ds-early", tenant="acme", digest=kept)
    await bus.publish(DATASET_READY, early)
    async with erasing(bus, store):
        await absent(store, gone)

    assert store.present([gone, shared, kept, foreign, again]) == {shared, kept, foreign, again}
    assert not files_with("gone", tmp_path / "store")


async def test_what_repeats_rows_goes_with_them_and_what_was_trained_on_them_stays(
    bus: Bus, store: FolderStore, tmp_path: Path
) -> None:
    gone, other = (committed(store, tmp_path, name) for name in ("gone", "other"))
    repeating = [
        committed(store, tmp_path, kind, kind, dataset=gone)
        for kind in ("evaluation", "teacher-answers", "dataset-report")
    ]
    staying = [
        other,
        committed(store, tmp_path, "model", "model", dataset=gone),
        committed(store, tmp_path, "of another", "evaluation", dataset=other),
    ]
    ready = DatasetReady(dataset_id="ds-gone", tenant="acme", digest=gone)
    await bus.publish(DATASET_READY, ready)
    await bus.publish(DATASET_RETIRED, DatasetRetired(dataset_id="ds-gone", tenant="acme"))
    async with erasing(bus, store):
        await absent(store, gone)

    assert store.present([gone, *repeating, *staying]) == {*staying}


class _BrokenOnce(FolderStore):
    """A disk that fails the first erasure."""

    tries = 0

    def erase(self, digests: Any) -> None:
        self.tries += 1
        if self.tries == 1:
            raise UnavailableError("the disk is away")
        super().erase(digests)


async def test_an_erasure_that_fails_is_tried_again(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelmill_data_prep.erase_deleted.AGAIN_SECONDS", 0.01)
    store = _BrokenOnce(tmp_path / "store")
    digest = committed(store, tmp_path, "gone")
    file = FileState(file_id="file-1", tenant="acme", digest=digest)
    await bus.publish(file_state("file-1"), file)
    file.deleted = True
    await bus.publish(file_state("file-1"), file)
    async with erasing(bus, store):
        await absent(store, digest)

    assert store.tries == 2
