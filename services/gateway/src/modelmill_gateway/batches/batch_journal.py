"""What a batch has answered so far: rows in files, made durable piece by piece, found again.

A row is written once its request is answered, and becomes durable with the next checkpoint. After
a crash an attempt on the same machine finds the rows of the dead one in the folder beside its own,
and one elsewhere those of the last checkpoint.
"""

import asyncio
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from modelmill_jobs.active import ActiveJob
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_service_kit.errors import NotFoundError, UnavailableError

log = logging.getLogger(__name__)

KINDS = ("output", "error")
STORE_SECONDS = 300.0
"""How long a checkpoint waits for an artifact store that is away."""


class BatchJournal:
    """Journal of one job: rows of responses, as the holder of one claim writes them.

    Args:
        form: of the checkpoints.
    """

    def __init__(self, job: ActiveJob, store: ArtifactStore, form: str) -> None:
        self._job = job
        self._checkpoints = JobCheckpoints(store, job.job_id, job.fence)
        self._form = form
        self._parts = job.folder / "parts"
        self._saved = dict.fromkeys(KINDS, 0)
        self._saves = 0
        self._files: dict[str, BinaryIO] = {}
        self.done: dict[str, str] = {}
        """Kind of the row by its custom id."""
        self.counts = dict.fromkeys(KINDS, 0)

    def path(self, kind: str) -> Path:
        """The rows of one kind, in the order in which they came."""
        return self._job.folder / f"{kind}.jsonl"

    def open(self) -> None:
        """Begin with whatever earlier attempts have left; blocks."""
        self._parts.mkdir(parents=True, exist_ok=True)
        self._files = {kind: self.path(kind).open("ab", buffering=0) for kind in KINDS}
        for folder in (*self._from_checkpoint(), *self._from_dead_attempts()):
            for kind in KINDS:
                for path in sorted(folder.glob(f"{kind}*.jsonl")):
                    self._take_over(path, kind)

    def close(self) -> None:
        """Write nothing more."""
        for each in self._files.values():
            each.close()

    def add(self, custom_id: str, kind: str, row: dict[str, Any]) -> None:
        """Keep one row; a second one of the same id would be none of ours."""
        self._write(custom_id, kind, json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def read(self) -> dict[str, dict[str, Any]]:
        """All rows by their custom ids; blocks."""
        found: dict[str, dict[str, Any]] = {}
        for kind in KINDS:
            with self.path(kind).open("rb") as rows:
                found |= {row["custom_id"]: row for row in map(json.loads, rows)}
        return found

    async def save(self, summary: dict[str, Any]) -> None:
        """Make all rows durable, with what is said of the job so far.

        Raises:
            Fenced: another worker owns the job.
            UnavailableError: the store stayed away.
        """
        step = len(self.done)
        if not step:
            # An artifact has a file at least.
            await self._job.save_summary(summary)
            return
        self._cut_new_parts()
        digest = await self._stored(step)
        await self._job.save_checkpoint(digest, step, summary)
        named = {each.digest for each in self._job.checkpoints}
        await asyncio.to_thread(self._checkpoints.keep_only, named)

    async def _stored(self, step: int) -> str:
        clock = asyncio.get_running_loop().time
        give_up = clock() + STORE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(
                    self._checkpoints.commit, self._parts, step, form=self._form, made_from={}
                )
            except UnavailableError as error:
                if clock() >= give_up:
                    raise
                log.warning("rows of job %s wait for the store: %s", self._job.job_id, error)
            await asyncio.sleep(1.0)

    def _write(self, custom_id: str, kind: str, row: bytes) -> None:
        if custom_id in self.done:
            return
        self._files[kind].write(row)
        self.done[custom_id] = kind
        self.counts[kind] += 1

    def _cut_new_parts(self) -> None:
        """What was written since the last checkpoint, as a file of its own: files never change."""
        for kind in KINDS:
            size = self.path(kind).stat().st_size
            if size == self._saved[kind]:
                continue
            with self.path(kind).open("rb") as rows:
                rows.seek(self._saved[kind])
                part = self._parts / f"{kind}-{self._saves:06}.jsonl"
                with part.open("wb") as written:
                    shutil.copyfileobj(rows, written)
            self._saved[kind] = size
        self._saves += 1

    def _from_checkpoint(self) -> Iterator[Path]:
        """The newest that can be read."""
        for checkpoint in self._job.checkpoints:
            try:
                yield self._checkpoints.materialise(checkpoint.digest)
            except (CorruptArtifactError, NotFoundError):
                log.exception("a checkpoint of job %s is lost", self._job.job_id)
            else:
                return

    def _from_dead_attempts(self) -> Iterator[Path]:
        """Folders of claims before ours, on this machine."""
        for folder in sorted(self._job.folder.parent.iterdir()):
            if folder.name.isdecimal() and int(folder.name) < self._job.fence:
                yield folder

    def _take_over(self, path: Path, kind: str) -> None:
        with path.open("rb") as rows:
            for row in rows:
                try:
                    custom_id = json.loads(row)["custom_id"]
                except (ValueError, KeyError, TypeError):
                    continue  # torn by the crash: its request is answered again
                if row.endswith(b"\n"):
                    self._write(custom_id, kind, row)
