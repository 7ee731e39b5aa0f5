"""operators.backup.*: what a backup and its restore take, and that everything comes back.

    python -m tests.bench.backup [--only GROUP ...] [--keep]

`estate`: a state folder with 10,000 messages and 512 MB of artifacts, backed up, backed up again
after one more artifact, restored, and compared message by message and file by file. Contents are
random: nothing compresses. `drill`: the restore drill of `tests/e2e`, with a job that runs.
`--keep` writes deploy/bench/operators.json, in place of the entries of the same ids there.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_cli.keys import LocalKeys
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_registry.store import FolderStore

from tests.bench.figures import Entry, all_of
from tests.bench.kept_entries import run_groups
from tests.e2e.restore_drill import (
    back_up,
    differences,
    drill,
    files_of,
    restored,
    streams_of,
)

RESULT = Path("deploy/bench/operators.json")
MESSAGES, ARTIFACTS, ARTIFACT_BYTES = 10_000, 32, 16_000_000


def estate_entries() -> list[Entry]:
    """Seconds and bytes of two backups and a restore."""
    with TemporaryDirectory(prefix="backup-") as place:
        return asyncio.run(_estate(Path(place)))


async def _estate(folder: Path) -> list[Entry]:
    old, new, backups = StateFolder(folder / "old"), StateFolder(folder / "new"), folder / "backup"
    await _fill(old, MESSAGES, ARTIFACTS)
    first = back_up(old, backups)
    await _fill(old, 1, 1)
    second = back_up(old, backups)
    came = restored(new, backups)
    files, streams = files_of(old), await streams_of(old)
    different = [
        *differences(files, files_of(new)),
        *differences(streams, await streams_of(new)),
    ]
    whole = len(files) + len(streams)
    size = f"{first['messages']:,} messages, {first['artifacts']} artifacts"
    return [
        all_of(
            "operators.backup.equal",
            whole - len(different),
            whole,
            "streams and files",
            least=MESSAGES // 1000,
            note=f"after a restore, of {size}; {', '.join(different) or 'none differs'}",
        ),
        _figure("operators.backup.bytes", first["written_bytes"], "B", f"the first, of {size}"),
        _figure("operators.backup.seconds", first["seconds"], "s", f"the first, of {size}"),
        _second_bytes(first, second),
        _figure("operators.backup.second_seconds", second["seconds"], "s", "one artifact was new"),
        _figure(
            "operators.backup.restore_seconds",
            came["seconds"],
            "s",
            f"{came['total_bytes']:,} B, each read twice: verified first, and as it is written",
        ),
    ]


async def _fill(state: StateFolder, messages: int, artifacts: int) -> None:
    """Add models, of which some have an artifact of their own."""
    with state.locked():
        LocalKeys(state.keys).ensure()
        Identities(state.bus_identities).ensure()
        digests = [_artifact(state) for _ in range(artifacts)]
        async with (
            private_broker(state) as (url, password),
            Bus.connect(url, password, name="bench") as bus,
        ):
            for number in range(messages):
                version_id = f"mv-{os.urandom(16).hex()}"
                digest = digests[number % artifacts]
                body = ModelReady(version_id=version_id, digest=digest, name=f"model {number}")
                await bus.publish(MODEL_READY, body, msg_id=version_id)


def _artifact(state: StateFolder) -> str:
    with TemporaryDirectory(prefix="artifact-") as place, owner_only():
        Path(place, "rows.jsonl").write_bytes(b"=" + os.urandom(ARTIFACT_BYTES - 1))
        committed = FolderStore(state.artifacts).commit(Path(place), kind="file", form="jsonl")
    return committed.digest


def _figure(name: str, value: float, unit: str, note: str) -> Entry:
    return Entry(name, value, unit, "no rival", 1.0, "", None, (1.0, 1.0), note)


def _second_bytes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Entry:
    """The bound is the new artifact and the streams, which a backup takes whole."""
    value, ratio = second["written_bytes"], second["written_bytes"] / first["written_bytes"]
    note = "one artifact of 16 MB was new; streams are taken whole"
    return Entry(
        "operators.backup.second_bytes",
        value,
        "B",
        "the first backup's bytes",
        ratio,
        "ratio <= 0.1",
        ratio <= 0.1,
        (ratio, ratio),
        note,
    )


def drill_entries() -> list[Entry]:
    """What holds after a restore of a backup that was taken under a running job."""
    with TemporaryDirectory(prefix="drill-") as place:
        done = asyncio.run(drill(Path(place)))
    held = {
        "the job ran at the backup": done.under_way.statuses == ("running", "running"),
        "the answer is the same": done.answer == done.under_way.answer,
        "the job went on from a checkpoint": done.resumed,
        "the job succeeded": done.job["status"] == "succeeded",
        "files are equal": done.compared_all and not done.different_files,
        "streams are equal": not done.different_streams,
    }
    note = "; ".join(f"{name}: {'yes' if holds else 'no'}" for name, holds in held.items())
    right = sum(held.values())
    return [all_of("operators.backup.drill", right, len(held), "checks", least=6, note=note)]


GROUPS: Mapping[str, Callable[[], Sequence[Entry]]] = {
    "estate": estate_entries,
    "drill": drill_entries,
}


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.backup", GROUPS, RESULT))
