"""A state folder with one of everything that a backup has, and what it holds as values."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, Checkpoint, JobState
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.stream_snapshots import SNAPSHOT_ORDER
from modelmill_bus.subjects import DEFAULT_BUILDS, MODEL_READY, job_state
from modelmill_cli.certificates import CertificateFolder
from modelmill_cli.keys import LocalKeys
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.store import FolderStore
from nats.js.errors import NotFoundError

JOB = "ftjob-1"
STORE = ("artifacts/blobs", "artifacts/manifests", "artifacts/parts")
PARTS = (*STORE, "keys", "bus-identities", "certificates")


async def make_estate(state: StateFolder, work: Path) -> None:
    """Two models, of which the first was taken note of, a running job, and files with secrets."""
    with state.locked():
        LocalKeys(state.keys).ensure()
        LocalKeys(state.keys).webhook_key_file()
        Identities(state.bus_identities).ensure()
        CertificateFolder(state.certificates, is_shared=False).ensure()
        async with (
            private_broker(state) as (url, password),
            Bus.connect(url, password, name="tester") as bus,
        ):
            for number in range(2):
                await add_model(bus, state, work, f"mv-{number}")
            deliveries = bus.deliveries(DEFAULT_BUILDS, [MODEL_READY], ack_wait_seconds=30)
            await (await deliveries.next(timeout=60)).ack_sync()
            store = FolderStore(state.artifacts)
            saved = JobCheckpoints(store, JOB, 1).commit(
                folder_with(work / "checkpoint", b"weights"), 3, form="lora", made_from={}
            )
            body = JobState(job_id=JOB, status=JOB_STATUS_RUNNING, fence=1)
            body.checkpoint.CopyFrom(Checkpoint(digest=saved, step=3))
            await bus.publish(job_state(JOB), body, expect_last=0)


async def add_model(bus: Bus, state: StateFolder, work: Path, version_id: str) -> None:
    """An artifact and its announcement."""
    folder = folder_with(work / version_id, version_id.encode() * 1000)
    with owner_only():
        manifest = FolderStore(state.artifacts).commit(folder, kind="file", form="jsonl")
    body = ModelReady(version_id=version_id, digest=manifest.digest)
    await bus.publish(MODEL_READY, body, msg_id=version_id)


async def add_model_to(state: StateFolder, work: Path, version_id: str) -> None:
    """The same, of a state folder on which nothing runs."""
    with state.locked():
        async with (
            private_broker(state) as (url, password),
            Bus.connect(url, password, name="tester") as bus,
        ):
            await add_model(bus, state, work, version_id)


def folder_with(folder: Path, content: bytes) -> Path:
    """A folder with one file."""
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_bytes(content)
    return folder


def files_of(state: StateFolder) -> Mapping[str, str]:
    """Hashes of artifacts, keys, identities and certificates by their paths; none may be empty."""
    found: dict[str, str] = {}
    for part in PARTS:
        files = [file for file in (state.path / part).rglob("*") if file.is_file()]
        assert files, f"{state.path} has no {part}"
        for file in files:
            path = file.relative_to(state.path).as_posix()
            found[path] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


async def streams_of(state: StateFolder) -> Mapping[str, list[tuple[Any, ...]]]:
    """All messages of each stream, and what the builder of models would be given next."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with state.locked():
        async with (
            private_broker(state) as (url, password),
            Bus.connect(url, password, name="tester") as bus,
        ):
            js = bus._link.js
            for name in SNAPSHOT_ORDER:
                last = (await js.stream_info(name)).state.last_seq
                found[name] = [(last,)]
                for sequence in range(1, last + 1):
                    with suppress(NotFoundError):
                        raw = await js.get_msg(name, sequence)
                        found[name].append((raw.seq, raw.subject, raw.data, str(raw.time)))
            # An id that was used is refused again.
            repeated = await bus.publish(MODEL_READY, ModelReady(version_id="mv-1"), msg_id="mv-1")
            next_one = await js.consumer_info("MODELS", DEFAULT_BUILDS)
            found["next"] = [(repeated, next_one.ack_floor.stream_seq, next_one.num_pending)]
    return found
