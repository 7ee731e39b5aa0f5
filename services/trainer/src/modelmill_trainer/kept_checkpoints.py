"""What becomes of the states that a work process saves: the newest two last, until success."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from modelmill_jobs.active import ActiveJob
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.job_checkpoints import JobCheckpoints, forget_checkpoints


class KeptCheckpoints:
    """Of one attempt.

    Args:
        form: What the checkpoint is of.
        made_from: Role to digest.
        attributes: Of each, beside its step.
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
        """Store what the work process has written; the digest."""
        return await asyncio.to_thread(self._commit, folder, step)

    async def let_go(self, named: Collection[str]) -> None:
        """Delete what the job's state, which now names these, has no use for."""
        await asyncio.to_thread(self._checkpoints.keep_only, named)


def clearing(store: ArtifactStore) -> Callable[[str], Awaitable[None]]:
    """Deletes all that a job saved which has succeeded and so never goes on from it."""

    async def clear(job_id: str) -> None:
        await asyncio.to_thread(forget_checkpoints, store, job_id)

    return clear
