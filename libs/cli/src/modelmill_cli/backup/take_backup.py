"""Takes a backup: positions of consumers, then streams, then artifacts.

Artifacts are pinned before the streams are read and once more afterwards. So whatever a stream
names is held, also where a job replaces its checkpoint or a tenant is erased meanwhile.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from modelmill_bus.bus import Bus
from modelmill_bus.link import Link, open_looking
from modelmill_bus.permissions import BACKUP
from modelmill_bus.stream_snapshots import (
    SNAPSHOT_ORDER,
    ConsumerPosition,
    consumer_positions,
    snapshot_stream,
)
from modelmill_registry.blobs import make_read_only
from modelmill_registry.errors import disk_full_on
from modelmill_registry.manifest import FileEntry
from modelmill_registry.store_copies import PinnedStore, pinned_store
from modelmill_service_kit.endings import to_its_end
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.settings import local_path

from modelmill_cli.backup.folder import BackupFolder
from modelmill_cli.backup.named_artifacts import named_artifacts
from modelmill_cli.backup.progress import BytesShown
from modelmill_cli.backup.record import STATE_FILES, BackupRecord, SavedStream, is_state_file
from modelmill_cli.backup.threads import in_thread
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.state_layout import LAYOUT

ATTEMPTS = 5
"""How often streams are read anew because a job replaced the checkpoints that it named."""
MAX_STATE_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class BackupReport:
    """What a backup took."""

    id: str
    path: str
    seconds: float
    streams: int
    messages: int
    artifacts: int
    total_bytes: int
    """Of all that the backup has."""
    written_bytes: int
    """Of what the folder did not have."""
    warning: str
    """Why contents that no backup has were not deleted; empty when they were."""


@dataclass(frozen=True)
class BackupSource:
    """The installation that is backed up."""

    link: Link
    """Who takes snapshots."""
    bus: Bus
    """Who reads streams."""
    artifacts: Path


async def take_backup(
    state: StateFolder, folder: BackupFolder, keep: int, progress: BytesShown
) -> BackupReport:
    """Back up a state folder, whether `mill up` runs on it or not.

    Args:
        keep: how many backups the folder may have; older ones go.

    Raises:
        PreconditionError: there is nothing to back up, or artifacts are missing from it.
        UnavailableError: the broker is away.
        DiskFullError: there is no space for it.
    """
    begun, at = time.monotonic(), datetime.now(UTC)
    with folder.writing():
        backup_id = folder.next_id(at)
        async with _reached(state) as installation:
            folder.begin(backup_id)
            taking = _Taking(state, installation, folder, progress)
            record = await taking.take(at.isoformat())
        folder.finish(backup_id, record)
        warning = folder.prune(keep)
    return BackupReport(
        backup_id,
        str(folder.path),
        round(time.monotonic() - begun, 2),
        len(record.streams),
        record.messages,
        len(record.artifacts),
        taking.total_bytes,
        taking.written_bytes,
        warning,
    )


@asynccontextmanager
async def _reached(state: StateFolder) -> AsyncIterator[BackupSource]:
    if not state.bus.is_dir():
        raise PreconditionError(
            f"{state.path} has nothing to back up. Name the folder of a `mill up`:"
            " `mill --state FOLDER backup ...`"
        )
    try:
        runtime = state.read_runtime()
    except PreconditionError:  # nothing runs: a broker of our own reads the streams
        with state.locked(range(LAYOUT + 1)):  # also one that is to be upgraded
            async with (
                private_broker(state) as (url, password),
                open_looking(url, password, name=BACKUP) as link,
            ):
                yield BackupSource(link, Bus(link, "cli"), _folder_of(state.artifact_root))
        return
    reader, taker = runtime.identity("cli"), runtime.identity(BACKUP)
    if not taker.file.exists():
        raise PreconditionError(
            f"there is no {taker.file}: this `mill up` was started by a mill without backups. Stop"
            " it and start it again"
        )
    async with (
        Bus.connect(runtime.nats_url, reader, name="cli") as bus,
        open_looking(runtime.nats_url, taker, name=BACKUP) as link,
    ):
        yield BackupSource(link, bus, _folder_of(runtime.artifact_root))


def _folder_of(artifact_root: str) -> Path:
    folder = local_path(artifact_root)
    if folder is None:
        raise PreconditionError(
            f"artifacts are in {artifact_root}, which `mill backup` does not copy. Use the"
            " bucket's versions, and `mill state export` for the streams"
        )
    return folder


class _Taking:
    """One backup in the making."""

    def __init__(
        self,
        state: StateFolder,
        installation: BackupSource,
        folder: BackupFolder,
        progress: BytesShown,
    ) -> None:
        self._state = state
        self._from = installation
        self._folder = folder
        self._progress = progress
        self.written_bytes = 0
        self.total_bytes = 0

    async def take(self, taken_at: str) -> BackupRecord:
        """Everything but what makes it visible."""
        files = [self._add_file(file) for file in self._state_files()]
        for attempt in range(1, ATTEMPTS + 1):
            with pinned_store(self._from.artifacts, self._folder.has) as pinned:
                await to_its_end(asyncio.to_thread(pinned.pin))
                positions = await consumer_positions(self._from.link)
                streams = await self._staged_streams()
                await to_its_end(asyncio.to_thread(pinned.pin))
                missing = await self._missing(streams, pinned)
                if missing and attempt < ATTEMPTS:
                    continue
                _refuse_missing(missing, self._from.artifacts)
                await self._copy(pinned)
                for stream in streams:
                    staged = self._staged(stream.snapshot.name)
                    await to_its_end(asyncio.to_thread(self._keep, stream.content, staged))
                return self._record(taken_at, streams, positions, pinned, files)
        raise AssertionError("the last attempt ends")

    def _record(
        self,
        taken_at: str,
        streams: list[SavedStream],
        positions: list[ConsumerPosition],
        pinned: PinnedStore,
        files: list[FileEntry],
    ) -> BackupRecord:
        self.total_bytes = pinned.total_bytes + sum(
            each.size for each in (*files, *(stream.content for stream in streams))
        )
        layout = self._state.layout().layout
        return BackupRecord(taken_at, streams, positions, pinned.artifacts, files, layout)

    def _state_files(self) -> list[Path]:
        """Keys, identities and certificates; a link is none."""
        found = (file for name in STATE_FILES for file in (self._state.path / name).glob("*"))
        return sorted(
            file
            for file in found
            if file.is_file()
            and not file.is_symlink()
            and file.stat().st_size <= MAX_STATE_FILE_BYTES
            and is_state_file(file.relative_to(self._state.path).as_posix())
        )

    def _add_file(self, file: Path) -> FileEntry:
        content = file.read_bytes()
        name = file.relative_to(self._state.path).as_posix()
        entry = FileEntry(name, len(content), hashlib.sha256(content).hexdigest())
        staged = self._folder.staging / "file"
        with disk_full_on(self._folder.path):
            staged.write_bytes(content)
        self._keep(entry, staged)
        return entry

    def _keep(self, entry: FileEntry, staged: Path) -> None:
        """Put a file of the staging folder into the pool, unless its content is there."""
        if self._folder.has(entry):
            staged.unlink()
            return
        with disk_full_on(self._folder.path):
            with staged.open("rb") as reading:
                make_read_only(reading.fileno())
                os.fsync(reading.fileno())
            self._folder.contents.put(entry, staged)
        self.written_bytes += entry.size

    async def _staged_streams(self) -> list[SavedStream]:
        """Snapshots; they are out of the pool until it is known that what they name is there."""
        sizes = [await self._from.bus.used_bytes(name) for name in SNAPSHOT_ORDER]
        self._progress.begin("streams", sum(sizes))
        saved = [await self._staged_stream(name) for name in SNAPSHOT_ORDER]
        return [each for each in saved if each is not None]

    async def _staged_stream(self, name: str) -> SavedStream | None:
        hasher, size = hashlib.sha256(), 0

        def write(chunk: bytes) -> None:
            nonlocal size
            writing.write(chunk)
            hasher.update(chunk)
            size += len(chunk)
            self._progress.advance(len(chunk))

        with disk_full_on(self._folder.path), self._staged(name).open("wb") as writing:
            snapshot = await snapshot_stream(self._from.link, name, write)
        if snapshot is None:
            return None
        return SavedStream(snapshot, FileEntry(f"stream {name}", size, hasher.hexdigest()))

    def _staged(self, stream: str) -> Path:
        return self._folder.staging / f"stream-{stream}"

    async def _missing(self, streams: list[SavedStream], pinned: PinnedStore) -> dict[str, str]:
        last = {name: 0 for name in SNAPSHOT_ORDER}
        last |= {each.snapshot.name: each.snapshot.last_sequence for each in streams}
        named = await named_artifacts(self._from.bus, last)
        held = {placed.digest for placed in pinned.artifacts}
        return {digest: who for digest, who in named.items() if digest not in held}

    async def _copy(self, pinned: PinnedStore) -> None:
        entries = pinned.contents.values()
        self._progress.begin("artifacts", sum(entry.size for entry in entries))
        for entry in entries:
            add = partial(self._folder.add, pinned.path(entry), entry)
            self.written_bytes += await in_thread(add, self._progress.advance)


def _refuse_missing(missing: Mapping[str, str], artifacts: Path) -> None:
    if missing:
        named = "; ".join(f"{who} names {digest}" for digest, who in sorted(missing.items())[:5])
        raise PreconditionError(
            f"{len(missing)} artifacts are not in {artifacts}: {named}. Delete what names them, or"
            " pause jobs that save more often than a backup takes"
        )
