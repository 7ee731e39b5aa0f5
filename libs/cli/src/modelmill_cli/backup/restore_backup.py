"""Restores a backup into an empty state folder, after all of it was verified."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelmill_bus.link import open_looking
from modelmill_bus.stream_snapshots import CHUNK_BYTES, restore_position, restore_stream
from modelmill_registry.manifest import FileEntry
from modelmill_registry.store_copies import put_back
from modelmill_service_kit.endings import to_its_end
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.backup.folder import BackupFolder, clear
from modelmill_cli.backup.progress import BytesShown
from modelmill_cli.backup.record import BackupRecord
from modelmill_cli.backup.threads import in_thread
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder, write_private
from modelmill_cli.state_layout import write_layout


@dataclass(frozen=True)
class RestoreReport:
    """What a restore wrote."""

    id: str
    path: str
    seconds: float
    streams: int
    messages: int
    artifacts: int
    total_bytes: int
    state_layout: int
    """Of the state folder that was backed up; a restored one has the same."""


async def restore_backup(
    folder: BackupFolder, state: StateFolder, at: str, progress: BytesShown
) -> RestoreReport:
    """Verify a backup, and make the state folder what it was then.

    Args:
        at: id of the backup; empty for the newest.

    Raises:
        PreconditionError: the state folder holds something, or the backup was not finished.
        InvalidInputError: the backup is torn; each content that is wrong is named.
    """
    begun = time.monotonic()
    _refuse_used(state)
    with folder.reading():
        chosen, record, total = await _verified(folder, at, progress)
        with _filling(state):
            progress.begin("artifacts", total)
            await in_thread(
                partial(put_back, folder.contents, record.artifacts, state.artifacts),
                progress.advance,
            )
            for file in record.files:
                _put_file(folder, file, state)
            await _restore_streams(folder, record, state, progress)
            write_layout(state.layout_file, record.state_layout)
    seconds = round(time.monotonic() - begun, 2)
    return _report(chosen, record, total, str(state.path), seconds)


async def verify_backup(folder: BackupFolder, at: str, progress: BytesShown) -> RestoreReport:
    """Verify a backup and restore nothing; raises as `restore_backup` does of the backup."""
    begun = time.monotonic()
    with folder.reading():
        chosen, record, total = await _verified(folder, at, progress)
    seconds = round(time.monotonic() - begun, 2)
    return _report(chosen, record, total, str(folder.path), seconds)


async def _verified(
    folder: BackupFolder, at: str, progress: BytesShown
) -> tuple[str, BackupRecord, int]:
    chosen, record = folder.chosen(at)
    entries = await to_its_end(asyncio.to_thread(folder.entries, [record]))
    total = sum(entry.size for entry in entries)
    progress.begin("verifying", total)
    await in_thread(partial(folder.verify, entries), progress.advance)
    return chosen, record, total


def _report(
    chosen: str, record: BackupRecord, total: int, path: str, seconds: float
) -> RestoreReport:
    streams, artifacts = len(record.streams), len(record.artifacts)
    layout = record.state_layout
    return RestoreReport(chosen, path, seconds, streams, record.messages, artifacts, total, layout)


def _refuse_used(state: StateFolder) -> None:
    if state.unfinished_restore.exists():
        return  # `locked` says what to do
    ours = (state.path / "lock", state.layout_file)
    files = (
        found
        for found in state.path.rglob("*")
        # A link to a folder leads to what others have.
        if (found.is_symlink() or not found.is_dir()) and found not in ours
    )
    if (used := next(files, None)) is not None:
        raise PreconditionError(
            f"{state.path} holds {used.relative_to(state.path)} already. Restore into a folder that"
            " is empty or not there: `mill --state FOLDER restore ...`"
        )


@contextmanager
def _filling(state: StateFolder) -> Iterator[None]:
    """Hold the folder, in which nothing starts before the block has ended well."""
    with state.locked():
        _refuse_used(state)  # once more: from here on nobody else writes to it
        write_private(state.unfinished_restore, b"")
        try:
            yield
        except BaseException:
            mark, lock = state.unfinished_restore, state.path / "lock"
            clear(state.path, lambda found: found in (mark, lock))
            mark.unlink()
            raise
        state.unfinished_restore.unlink()


def _put_file(folder: BackupFolder, file: FileEntry, state: StateFolder) -> None:
    to = state.path / file.path
    to.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(to, folder.contents.check(file).read_bytes())


async def _restore_streams(
    folder: BackupFolder, record: BackupRecord, state: StateFolder, progress: BytesShown
) -> None:
    progress.begin("streams", sum(each.content.size for each in record.streams))
    async with (
        private_broker(state) as (url, password),
        open_looking(url, password, name="cli") as link,
    ):
        for saved in record.streams:
            check = partial(folder.contents.check, saved.content)
            file = await in_thread(check, lambda _count: None)
            await restore_stream(link, saved.snapshot, _chunks(file, progress))
        for position in record.positions:
            await restore_position(link, position)


def _chunks(file: Path, progress: BytesShown) -> Iterator[bytes]:
    with file.open("rb") as reading:
        while chunk := reading.read(CHUNK_BYTES):
            progress.advance(len(chunk))
            yield chunk
