"""The record of one backup: what is in it, as JSON with its own checksum."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill_bus.stream_snapshots import SNAPSHOT_ORDER, ConsumerPosition, StreamSnapshot
from modelmill_registry.manifest import FileEntry, is_digest
from modelmill_registry.store_copies import Placed
from modelmill_registry.verifying_store import part_name
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.state_layout import LAYOUT, UNSAID

FORMAT, VERSION = "modelmill-backup", 1
STATE_FILES = ("keys", "bus-identities", "certificates")
"""Folders of the state folder that are backed up file by file."""
_FILE = re.compile(rf"({'|'.join(STATE_FILES)})/[A-Za-z0-9_-][A-Za-z0-9._-]{{0,127}}")


@dataclass(frozen=True)
class SavedStream:
    """A stream's snapshot, and the content that holds it."""

    snapshot: StreamSnapshot
    content: FileEntry


@dataclass(frozen=True)
class BackupRecord:
    """One finished backup."""

    taken_at: str
    """When it was begun, ISO 8601."""
    streams: Sequence[SavedStream]
    positions: Sequence[ConsumerPosition]
    artifacts: Mapping[Placed, int]
    """Each with the size of its manifest."""
    files: Sequence[FileEntry]
    """Keys, identities and certificates, by their paths in the state folder."""
    state_layout: int
    """Of the state folder."""

    @property
    def messages(self) -> int:
        """In all streams."""
        return sum(int(each.snapshot.state["messages"]) for each in self.streams)


def encode_record(record: BackupRecord, mill: str) -> bytes:
    """The record as a file; `mill` is the version that wrote it."""
    backup = {
        "taken_at": record.taken_at,
        "streams": [
            asdict(each.snapshot) | {"size": each.content.size, "sha256": each.content.sha256}
            for each in record.streams
        ],
        "positions": [asdict(each) for each in record.positions],
        "artifacts": [asdict(placed) | {"size": n} for placed, n in record.artifacts.items()],
        "files": [asdict(each) for each in record.files],
        "state_layout": record.state_layout,
    }
    heading = {"format": FORMAT, "version": VERSION, "mill": mill, "sha256": _checksum(backup)}
    return json.dumps(heading | {"backup": backup}, ensure_ascii=False, indent=1).encode()


def decode_record(name: str, encoded: bytes) -> BackupRecord:
    """The record in a file.

    Raises:
        InvalidInputError: the file is damaged, of another layout, or none of ours.
    """
    damaged = f"{name} is damaged or none of `mill backup`. Restore another backup, with --at"
    try:
        document = json.loads(encoded)
        refuse_other_layout(name, document)
        backup = document["backup"]
        if document["sha256"] != _checksum(backup):
            raise InvalidInputError(damaged)
        record = _record(backup)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError(damaged) from error
    if record.state_layout > LAYOUT:
        raise InvalidInputError(
            f"{name} is of a state folder with layout {record.state_layout}, and this mill knows"
            f" {LAYOUT}. Use the mill {_maker_of(document)}, or a newer one"
        )
    return record


def _maker_of(document: Mapping[str, Any]) -> str:
    return str(document.get("mill", "that made it"))[:40]


def refuse_other_layout(name: str, document: Mapping[str, Any]) -> None:
    """Raise InvalidInputError where a document is not of this layout."""
    if document["format"] != FORMAT:
        raise InvalidInputError(f"{name} is none of `mill backup`. Name the folder of a backup")
    if document["version"] != VERSION:
        raise InvalidInputError(
            f"{name} has layout version {document['version']}, and this mill reads {VERSION}."
            f" Use the mill {_maker_of(document)}"
        )


def _record(backup: Mapping[str, Any]) -> BackupRecord:
    return BackupRecord(
        str(backup["taken_at"]),
        [_stream(each) for each in backup["streams"]],
        [_position(each) for each in backup["positions"]],
        dict(_artifacts(backup["artifacts"])),
        [_file(each) for each in backup["files"]],
        int(backup.get("state_layout", UNSAID)),
    )


def _stream(said: Mapping[str, Any]) -> SavedStream:
    snapshot = StreamSnapshot(_known_stream(said["name"]), dict(said["config"]), said["state"])
    for key in ("messages", "first_seq", "last_seq"):
        int(snapshot.state[key])
    return SavedStream(snapshot, _content(f"stream {snapshot.name}", said))


def _position(said: Mapping[str, Any]) -> ConsumerPosition:
    _word(said["config"]["durable_name"])
    stream = _known_stream(said["stream"])
    return ConsumerPosition(stream, dict(said["config"]), int(said["next_sequence"]))


def _artifacts(said: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Placed, int]]:
    for each in said:
        placed = Placed(str(each["part"]), str(each["digest"]))
        if placed.part:
            part_name(placed.part)
        if not is_digest(placed.digest):
            raise ValueError(placed.digest)
        yield placed, int(each["size"])


def _file(said: Mapping[str, Any]) -> FileEntry:
    path = str(said["path"])
    if not is_state_file(path):
        raise ValueError(path)
    return _content(path, said)


def is_state_file(path: str) -> bool:
    """Whether a path of the state folder is one of those that a backup has."""
    return _FILE.fullmatch(path) is not None


def _content(name: str, said: Mapping[str, Any]) -> FileEntry:
    entry = FileEntry(name, int(said["size"]), str(said["sha256"]))
    if not is_digest(f"sha256:{entry.sha256}"):
        raise ValueError(entry.sha256)
    return entry


def _known_stream(name: object) -> str:
    if name not in SNAPSHOT_ORDER:
        raise ValueError(name)
    return str(name)


def _word(text: object) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", str(text)):
        raise ValueError(text)


def _checksum(backup: Mapping[str, Any]) -> str:
    canonical = json.dumps(backup, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
