"""Checkpoint retention: the newest two of a job, and none after it has succeeded."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from modelmill_jobs.active import ActiveJob
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.job_checkpoints import JobCheckpoints, forget_checkpoints


class CheckpointRetention:
    """Commits checkpoints of one attempt and deletes superseded ones.

    Args:
        form: Form of the checkpoint artifact.
        made_from: Digest by role.
        attributes: Manifest attributes of each checkpoint.
    """

    def __init__(
        self,
        store: ArtifactStore,
        job: ActiveJob,
        *,
        form: str,
        made_from: Mapping[str, str],
        attributes: Mapping[str, Any] = {},
    ) -> None:
        self._checkpoints = JobCheckpoints(store, job.job_id, job.fence)
        self._commit = partial(
            self._checkpoints.commit, form=form, made_from=made_from, attributes=attributes
        )

    async def keep(self, folder: Path, step: int) -> str:
        """Commit a folder written by the child; returns the digest."""
        return await asyncio.to_thread(self._commit, folder, step)

    async def delete_unreferenced(self, named: Collection[str]) -> None:
        """Delete checkpoints that the job's state no longer names."""
        await asyncio.to_thread(self._checkpoints.keep_only, named)


def checkpoint_deleter(store: ArtifactStore) -> Callable[[str], Awaitable[None]]:
    """Callback that deletes all checkpoints of a job that has succeeded."""

    async def clear(job_id: str) -> None:
        await asyncio.to_thread(forget_checkpoints, store, job_id)

    return clear
