"""Capacity of a process that may work on jobs: its worker, and the disk that artifacts fill."""

import asyncio
import shutil
from pathlib import Path
from typing import Protocol

from modelmill.jobs.v1.job_service_pb2 import DiskRoom, GetWorkerCapacityResponse, WorkerLoad


class HasLoad(Protocol):
    """See `modelmill_jobs.worker.Worker`."""

    @property
    def load(self) -> WorkerLoad: ...


class ProcessCapacity:
    """What a process tells operators of its room.

    Args:
        artifact_disk: folder on the disk that artifacts fill.
    """

    def __init__(self, artifact_disk: Path) -> None:
        self.worker: HasLoad | None = None
        """Set once the process works; None in the role `serve`."""
        self._artifact_disk = artifact_disk

    async def __call__(self) -> GetWorkerCapacityResponse:
        """As it is now; what cannot be read is left out."""
        return GetWorkerCapacityResponse(
            worker=None if self.worker is None else self.worker.load,
            artifact_disk=await asyncio.to_thread(self._disk),
        )

    def _disk(self) -> DiskRoom | None:
        try:
            room = shutil.disk_usage(self._artifact_disk)
        except OSError:
            return None  # the folder is not there before the first artifact
        return DiskRoom(total_bytes=room.total, free_bytes=room.free)
