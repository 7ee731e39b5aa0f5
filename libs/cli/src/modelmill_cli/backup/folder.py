"""The folder of backups: contents under their SHA-256, and a record of each finished backup.

modelmill-backup.json   which layout this is
blobs/sha256/<2 hex>/   contents, shared by all backups of the folder
backups/<id>.json       one finished backup; written last
unfinished/<id>         a backup that was begun
staging/                contents that are being written
"""

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from modelmill_registry.blobs import BlobFolder, OnBytes, make_folder, sync_folder, write_durably
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.manifest import FileEntry, hex_of
from modelmill_registry.store_copies import Placed, content_of, copied_manifest, copy_content
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError

from modelmill_cli.backup.record import (
    FORMAT,
    VERSION,
    BackupRecord,
    decode_record,
    encode_record,
    refuse_other_layout,
)
from modelmill_cli.errors import folder_error
from modelmill_cli.state_folder import owner_only

LAYOUT = "modelmill-backup.json"
MAX_RECORD_BYTES = 1 << 30
_ID = "%Y%m%d-%H%M%S-%f"
"""An id is a time in UTC; they sort as backups follow each other."""
SHOWN_PROBLEMS = 20


class BackupFolder:
    """A folder that `mill backup` writes and `mill restore` reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path / "staging"
        self._records = path / "backups"
        self._unfinished = path / "unfinished"

    @property
    def contents(self) -> BlobFolder:
        """All contents of all backups."""
        return BlobFolder(self.path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder where it is missing, and hold it for this process alone.

        Raises:
            PreconditionError: it holds something else, others may read it, or it is in use.
            InvalidInputError: it is of another layout.
        """
        with owner_only():
            try:
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
                _refuse_shared(self.path)
                if not (self.path / LAYOUT).exists():
                    self._refuse_others_files()
                for folder in (self._records, self._unfinished, self.staging):
                    make_folder(folder)
            except OSError as error:
                raise folder_error(self.path, error) from error
            with self._held(fcntl.LOCK_EX):
                self._see_to_layout()
                self._empty_staging()  # of a backup that was killed
                try:
                    yield
                finally:
                    self._empty_staging()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the folder against backups that begin.

        Raises:
            PreconditionError: there is no backup in it, or it is in use.
            InvalidInputError: it is of another layout.
        """
        if not (self.path / LAYOUT).is_file():
            raise PreconditionError(
                f"{self.path} has no backup. Make one with `mill backup FOLDER`"
            )
        with self._held(fcntl.LOCK_SH):
            self._see_to_layout()
            yield

    def has(self, entry: FileEntry) -> bool:
        """Whether a content is there; it was verified when it was written, not since."""
        try:
            return self.contents.path(entry.sha256).lstat().st_size == entry.size
        except FileNotFoundError:
            return False

    def add(self, source: Path, entry: FileEntry, on_bytes: OnBytes) -> int:
        """Copy a content unless it is there; how many bytes that took."""
        if self.has(entry):
            return 0
        copy_content(source, entry, self.contents, self.staging, on_bytes)
        return entry.size

    def ids(self) -> list[str]:
        """Of all finished backups, the oldest first."""
        found = (file.stem for file in self._records.glob("*.json"))
        return sorted(stem for stem in found if _time_of(stem) is not None)

    def _times(self) -> Iterator[datetime]:
        return filter(None, map(_time_of, self.ids()))

    def next_id(self, now: datetime) -> str:
        """Of a backup that is begun now; above all others, also where the clock was set back."""
        times = [now, *(time + timedelta(microseconds=1) for time in self._times())]
        return max(times).strftime(_ID)

    def begin(self, backup_id: str) -> None:
        """From now on, until `finish`, the folder says that a backup is not finished."""
        mark = self._unfinished / backup_id
        write_durably(self.staging / "mark", mark, b"")

    def finish(self, backup_id: str, record: BackupRecord) -> None:
        """Make the backup visible: all of its contents are there."""
        encoded = encode_record(record, version("modelmill"))
        write_durably(self.staging / "record", self._records / f"{backup_id}.json", encoded)
        for mark in self._unfinished.iterdir():  # also of earlier ones, which this one replaces
            mark.unlink()
        sync_folder(self._unfinished)

    def chosen(self, at: str) -> tuple[str, BackupRecord]:
        """The newest backup, or the one that is named.

        Raises:
            PreconditionError: the newest one was not finished.
            NotFoundError: there is none of that name.
            InvalidInputError: its record is damaged.
        """
        ids = self.ids()
        if at and at not in ids:
            have = ", ".join(ids) or "none"
            raise NotFoundError(f"{self.path} has no backup {at!r}. It has {have}")
        if not at:
            self._refuse_unfinished(ids)
        chosen = at or ids[-1]
        file = self._records / f"{chosen}.json"
        with file.open("rb") as reading:
            return chosen, decode_record(str(file), reading.read(MAX_RECORD_BYTES))

    def entries(self, records: Iterable[BackupRecord]) -> list[FileEntry]:
        """Each content of these backups once.

        Raises:
            InvalidInputError: manifests are missing or altered; each is named.
        """
        found: dict[str, FileEntry] = {}
        read: set[str] = set()
        problems: list[str] = []
        for record in records:
            found |= {each.content.sha256: each.content for each in record.streams}
            found |= {each.sha256: each for each in record.files}
            for placed, size in record.artifacts.items():
                if placed.digest in read:
                    continue
                read.add(placed.digest)
                try:
                    found |= self._of_artifact(placed, size)
                except CorruptArtifactError as error:
                    problems.append(self._torn(error, hex_of(placed.digest)))
        _refuse(problems)
        return list(found.values())

    def verify(self, entries: list[FileEntry], on_bytes: OnBytes) -> None:
        """Read every byte of a backup.

        Raises:
            InvalidInputError: contents are missing, shortened or altered; each is named.
        """
        problems, contents = [], self.contents
        for entry in entries:
            try:
                contents.check(entry, on_bytes)
            except (CorruptArtifactError, OSError) as error:
                problems.append(self._torn(error, entry.sha256))
        _refuse(problems)

    def prune(self, keep: int) -> str:
        """Forget all but the newest backups, and what none of those has.

        Returns:
            Why all contents stay: a backup that is kept is torn. Else empty.
        """
        for backup_id in self.ids()[:-keep]:
            (self._records / f"{backup_id}.json").unlink()
        sync_folder(self._records)
        try:
            entries = self.entries(self.chosen(each)[1] for each in self.ids())
        except InvalidInputError as error:
            return f"no contents of older backups were deleted: {error.errors[0]}"
        kept = {entry.sha256 for entry in entries}
        for sha256, _ in list(self.contents.all()):
            if sha256 not in kept:
                self.contents.path(sha256).unlink()
        return ""

    def _of_artifact(self, placed: Placed, size: int) -> dict[str, FileEntry]:
        manifest, _ = copied_manifest(self.contents, placed)
        whole = content_of(placed, size)
        files = (
            FileEntry(f"{entry.path} of {placed.digest}", entry.size, entry.sha256)
            for entry in manifest.files
        )
        return {each.sha256: each for each in (*files, whole)}

    def _torn(self, error: Exception, sha256: str) -> str:
        """What is wrong with a content, and what to do; a later backup has the same content."""
        file = self.contents.path(sha256)
        first = f"delete {file} and " if file.exists() else ""
        remedy = f"Restore another backup, with --at, or {first}repeat `mill backup`"
        return f"{self.path}: {error}. {remedy}"

    def _empty_staging(self) -> None:
        for left in self.staging.iterdir():
            left.unlink()

    def _refuse_unfinished(self, ids: list[str]) -> None:
        begun = sorted(mark.name for mark in self._unfinished.glob("*"))
        if begun:
            before = f" The one before is whole: --at {ids[-1]}" if ids else ""
            raise PreconditionError(
                f"backup {begun[-1]} in {self.path} was not finished. Repeat `mill backup`.{before}"
            )
        if not ids:
            raise PreconditionError(
                f"{self.path} has no finished backup. Make one with `mill backup {self.path}`"
            )

    def _refuse_others_files(self) -> None:
        if any(self.path.iterdir()):
            raise PreconditionError(
                f"{self.path} holds something that is no backup. Name an empty folder, a new one"
                " or one of `mill backup`"
            )

    def _see_to_layout(self) -> None:
        file = self.path / LAYOUT
        if not file.exists():
            layout = {"format": FORMAT, "version": VERSION, "mill": version("modelmill")}
            write_durably(self.staging / "layout", file, json.dumps(layout).encode())
        try:
            refuse_other_layout(str(file), json.loads(file.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"{file} is damaged. Restore another copy of the folder"
            ) from error

    @contextmanager
    def _held(self, how: int) -> Iterator[None]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise PreconditionError(
                f"{self.path} is in use by another backup or restore. Wait for its end"
            ) from None
        finally:
            os.close(descriptor)


def _refuse_shared(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PreconditionError(
            f"{path} is open to others, and a backup has keys. Say `chmod 700 {path}`"
        )


def _refuse(problems: list[str]) -> None:
    if not problems:
        return
    more, said = len(problems) - SHOWN_PROBLEMS, problems[:SHOWN_PROBLEMS]
    raise InvalidInputError([*said, f"and {more} more"] if more > 0 else said)


def _time_of(backup_id: str) -> datetime | None:
    try:
        time = datetime.strptime(backup_id, _ID).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if time.strftime(_ID) == backup_id else None


def clear(folder: Path, keep: Callable[[Path], bool]) -> None:
    """Delete all that is in a folder but what is to be kept."""
    for found in folder.iterdir():
        if keep(found):
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()
