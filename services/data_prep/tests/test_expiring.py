"""A file with an expiry is deleted then, and not while an unfinished job needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill_data_prep.delete_dataset import DeleteFile
from modelmill_data_prep.expire_files import ExpireFiles
from modelmill_data_prep.records import FileRecords
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_registry.catalogue import FileCatalogue
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

HOUR = 3600


class Expiry:
    """The deletion of what has expired, at a time that is said."""

    def __init__(self, data_prep: Any) -> None:
        self.now = 0.0
        self._bus = data_prep.bus
        self._files, self._jobs = FileCatalogue(data_prep.bus), UnfinishedJobs(data_prep.bus)
        records = FileRecords(data_prep.bus, self._files, data_prep.store)
        delete = DeleteFile(records, self._jobs)
        self._expire = ExpireFiles(self._files, delete, now=lambda: self.now)

    async def follow(self) -> None:
        await asyncio.gather(self._files.run(), self._jobs.run())

    async def at(self, now: float) -> int:
        """How many files are deleted then."""
        await self._files.ready.wait()
        await self._files.wait_for(await self._bus.last_sequence("DATASETS"), 60)
        self.now = now
        return await self._expire.delete_expired()


@pytest_asyncio.fixture
async def expiry(data_prep: Any) -> AsyncIterator[Expiry]:
    running = Expiry(data_prep)
    task = asyncio.create_task(running.follow())
    yield running
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def upload(data_prep: Any, seconds: int) -> FileState:
    header = pb.UploadHeader(
        tenant="acme", filename="a.jsonl", purpose="fine-tune", expires_after_seconds=seconds
    )
    file: FileState = await data_prep.upload_requests(
        [
            pb.UploadFileRequest(header=header),
            pb.UploadFileRequest(chunk=b'{"q": "one", "a": "1"}\n'),
            pb.UploadFileRequest(end=pb.FileEnd()),
        ]
    )
    return file


async def test_files_are_deleted_once_their_time_is_up_and_others_stay(
    data_prep: Any, expiry: Expiry
) -> None:
    brief, long, without = [await upload(data_prep, each) for each in (HOUR, 2 * HOUR, 0)]
    stored = brief.created_at.seconds

    assert brief.expires_at.seconds == stored + HOUR
    assert not without.HasField("expires_at")
    assert await expiry.at(stored + HOUR - 1) == 0
    assert await expiry.at(stored + HOUR) == 1
    with pytest.raises(NotFoundError):
        await data_prep.get_file(brief.file_id)
    assert set(await data_prep.list_ids()) >= {long.file_id, without.file_id}
    assert await expiry.at(stored + HOUR) == 0


async def test_what_an_unfinished_job_needs_stays_for_now(data_prep: Any, expiry: Expiry) -> None:
    file = await upload(data_prep, HOUR)
    await data_prep.create(file.file_id)

    assert await expiry.at(file.created_at.seconds + 9 * HOUR) == 0
    assert (await data_prep.get_file(file.file_id)).file_id == file.file_id


async def test_an_expiry_beyond_ten_years_is_refused(data_prep: Any) -> None:
    with pytest.raises(InvalidInputError, match="expires_after"):
        await upload(data_prep, 11 * 365 * 24 * HOUR)
