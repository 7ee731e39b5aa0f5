"""The problems: in real files of a healthy state folder, in facts, and in a real broker."""

import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from modelmill_bus.broker_config import Identities
from modelmill_bus.stream_changes import set_schema
from modelmill_cli.broker import CONFIG, ROOM_BYTES
from modelmill_cli.certificates import CertificateFolder, key_pem
from modelmill_cli.doctor.examined import Examined, Installed, RunningInstance, ServicePage
from modelmill_cli.doctor.machine import examine_machine
from modelmill_cli.keys import LocalKeys
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_cli.state_layout import LAYOUT, write_layout
from modelmill_registry.store import FolderStore
from nats.js import api
from nats.js.client import JetStreamContext

GONE = 2**22 + 1
"""No process has this id: it is above the kernel's largest."""


ENOUGH: Mapping[str, Any] = {
    **{"disk_bytes": 100 << 30, "disk_free_bytes": 90 << 30, "inodes": 0, "inodes_free": 0},
    **{"fsyncs_per_second": 500.0, "memory_bytes": 16 << 30, "memory_free_bytes": 8 << 30},
    **{"open_files": 4096, "gpus_present": 0, "gpus_answering": 0, "driver_cuda": None},
}


def healthy(folder: Path) -> Examined:
    """A state folder with all that a `mill up --tls` leaves, and nothing that runs."""
    state = StateFolder(folder / "state")
    folder.mkdir(parents=True, exist_ok=True)
    with state.locked():
        LocalKeys(state.keys).ensure()
        LocalKeys(state.keys).webhook_key_file()
        Identities(state.bus_identities).ensure()
        CertificateFolder(state.certificates, is_shared=False).ensure()
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_bytes(b"w" * 5000)
    FolderStore(state.artifacts).commit(folder / "model", kind="model", form="safetensors")
    config = CONFIG.format(port=4222, store=state.bus, room=ROOM_BYTES, admitted="authorization {}")
    return Examined(
        state=state,
        now=datetime.now(UTC),
        ports={},
        # What this machine is short of is not planted.
        machine=replace(examine_machine(state.path), **ENOUGH),
        installed=Installed({"modelmill-gateway": "0.1.0"}, Path("nats-server"), (2, 15, 1), None),
        broker_config=config,
        running=None,
        owner=state.path.stat().st_uid,
        is_starting=False,
    )


def running(it: Examined) -> RunningInstance:
    """A healthy instance."""
    names = ("data_prep", "trainer", "optimizer_builder", "moderation", "inference", "gateway")
    version = it.installed.packages["modelmill-gateway"]
    runtime = Runtime(
        os.getpid(),
        *("http://127.0.0.1:8080", "nats://127.0.0.1:4222", str(it.state.bus_identities)),
        *("secret", str(it.state.artifacts)),
        grpc_ports=dict.fromkeys(names, 1),
        metrics_ports=dict.fromkeys(names, 2),
        pids=dict.fromkeys(names, os.getpid()),
    )
    pages = {name: ServicePage(200, {}, version) for name in names}
    return RunningInstance(runtime, (), (), pages, 200, None, "")


def _machine(**facts: Any) -> Callable[[Examined], Examined]:
    return lambda it: replace(it, machine=replace(it.machine, **facts))


def _installed(**facts: Any) -> Callable[[Examined], Examined]:
    return lambda it: replace(it, installed=replace(it.installed, **facts))


def _running(**facts: Any) -> Callable[[Examined], Examined]:
    return lambda it: replace(it, running=replace(running(it), **facts))


def _shows(status: int | None = 200, version: str | None = None, **totals: float) -> Any:
    """The gateway's page is like that."""

    def plant(it: Examined) -> Examined:
        up = running(it)
        shown = ServicePage(status, totals, version or up.pages["gateway"].version)
        return replace(it, running=replace(up, pages=up.pages | {"gateway": shown}))

    return plant


def _config(old: str, new: str) -> Callable[[Examined], Examined]:
    def plant(it: Examined) -> Examined:
        assert it.broker_config is not None
        assert old in it.broker_config
        return replace(it, broker_config=it.broker_config.replace(old, new))

    return plant


def _file(change: Callable[[StateFolder], object]) -> Callable[[Examined], Examined]:
    def plant(it: Examined) -> Examined:
        change(it.state)
        return it

    return plant


def _later(**span: float) -> Callable[[Examined], Examined]:
    """The certificates of the gateway alone; the authority lives on."""

    def plant(it: Examined) -> Examined:
        folder = CertificateFolder(it.state.certificates, is_shared=False)
        folder.certificate("gateway").unlink()
        folder.ensure(life=timedelta(**span))
        return it

    return plant


def _ended(it: Examined) -> Examined:
    """The gateway's certificate lived for a day, two days ago."""
    planted = _later(days=1)(it)
    return replace(planted, now=it.now + timedelta(days=2))


def _before_they_were_made(it: Examined) -> Examined:
    """The clock is behind the certificates, and no other file says so."""
    for file in (it.state.path / "lock", it.state.keys / "signing-key.pem"):
        os.utime(file, (0, 0))
    return replace(it, now=it.now - timedelta(days=30))


def _foreign(state: StateFolder) -> None:
    other = CertificateFolder(state.path / "other", is_shared=False)
    other.ensure()
    for name in ("nats.pem", "nats-key.pem"):
        shutil.copy(other.path / name, state.certificates / name)


def _other_key(state: StateFolder) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (state.certificates / "trainer-key.pem").write_bytes(key_pem(key))


def _not_a_folder(it: Examined) -> Examined:
    file = it.state.path / "a file"
    file.write_text("")
    return replace(it, state=StateFolder(file), broker_config=None)


def _record(content: Mapping[str, object]) -> Callable[[StateFolder], object]:
    def write(state: StateFolder) -> None:
        state.runtime_file.write_text(json.dumps(content))
        state.runtime_file.chmod(0o600)

    return write


def _only_blob(state: StateFolder) -> Path:
    (blob,) = (each for each in (state.artifacts / "blobs").rglob("*") if each.is_file())
    return blob


def _truncated_blob(state: StateFolder) -> None:
    blob = _only_blob(state)
    blob.chmod(0o600)
    os.truncate(blob, 10)


def _torn_manifest(state: StateFolder) -> None:
    (manifest,) = (state.artifacts / "manifests").glob("*.json")
    manifest.chmod(0o600)
    os.truncate(manifest, manifest.stat().st_size - 5)


def _gpu_without_driver(it: Examined) -> Examined:
    device = it.state.path / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "class").write_text("0x030200\n")
    (device / "vendor").write_text("0x10de\n")
    seen = examine_machine(it.state.path, device.parent)
    there = replace(it.machine, gpus_present=seen.gpus_present, gpus_answering=0)
    return replace(it, machine=there)


def _tomorrow(state: StateFolder) -> None:
    tomorrow = time.time() + 24 * 3600
    os.utime(state.path / "lock", (tomorrow, tomorrow))


SYNC = "sync_interval: always"
LISTEN = 'listen: "127.0.0.1:4222"'
ADMITTED = "authorization {}"

PLANTED: Mapping[str, Callable[[Examined], Examined]] = {
    "disk-space": _machine(disk_free_bytes=1 << 30),
    "disk-inodes": _machine(inodes=1000, inodes_free=3),
    "fsync-rate": _machine(fsyncs_per_second=4.0),
    "memory-free": _machine(memory_free_bytes=100 << 20),
    "open-files": _machine(open_files=256),
    "gpu-driver": _gpu_without_driver,
    "gpu-cuda": lambda it: _installed(runtime_cuda=13)(_machine(driver_cuda=12)(it)),
    "packages-mixed": _installed(packages={"modelmill": "0.1.0", "modelmill-bus": "0.0.9"}),
    "broker-missing": _installed(broker=None, broker_version=None),
    "broker-version": _installed(broker_version=(2, 9, 25)),
    "state-folder": _not_a_folder,
    "state-open": _file(lambda state: state.path.chmod(0o777)),
    "state-layout": _file(lambda state: write_layout(state.layout_file, LAYOUT + 1)),
    "secret-modes": _file(lambda state: (state.keys / "signing-key.pem").chmod(0o644)),
    "secret-owners": lambda it: replace(it, owner=12345),
    "signing-key": _file(lambda state: (state.keys / "signing-key.pem").write_text("no key")),
    "signing-key-set": _file(lambda state: (state.keys / "jwks.json").write_text('{"keys": []}')),
    "webhook-key": _file(lambda state: (state.keys / "webhook.key").write_text("short")),
    "bus-identity": _file(lambda state: (state.bus_identities / "trainer.nk").write_text("SU")),
    "clock-back": _file(_tomorrow),
    "certificate-unreadable": _file(
        lambda state: (state.certificates / "client.pem").write_text("no certificate")
    ),
    "certificate-expired": _ended,
    "certificate-expires": _later(days=3),
    "certificate-early": _before_they_were_made,
    "certificate-foreign": _file(_foreign),
    "certificate-key": _file(_other_key),
    "authority-key": _file(lambda state: (state.certificates / "ca-key.pem").unlink()),
    "broker-sync": _config(SYNC, 'sync_interval: "2m"'),
    "broker-payload": _config(LISTEN, f"{LISTEN}\nmax_payload: 64KB"),
    "broker-jetstream": _config("jetstream {", "other {"),
    "broker-room": _config(f"max_file_store: {ROOM_BYTES}", "max_file_store: 100MB"),
    "broker-open": _config(ADMITTED, "# authorization {}"),
    "broker-plain": _config(LISTEN, 'listen: "0.0.0.0:4222"'),
    "broker-trace": _config(LISTEN, f"{LISTEN}\ntrace: true"),
    "broker-unreachable": _running(broker_problem="no message broker at nats://127.0.0.1:4222"),
    "process-ended": _running(ended=("trainer",)),
    "service-unreachable": _running(unreachable=("inference",)),
    "metrics-silent": _shows(None),
    "metrics-refused": _shows(401),
    "service-version": _shows(version="0.0.9"),
    "gateway-not-ready": _running(gateway_ready=503),
    "records-dropped": _shows(modelmill_usage_dropped_total=7.0),
    "engine-restarts": _shows(modelmill_engine_restarts_total=9.0),
    "files-used-up": _shows(process_open_fds=950.0, process_max_fds=1024.0),
    "instance-record": _file(_record({"pid": GONE})),
    "model-memory": _machine(memory_bytes=1000),
    "artifact-manifest": _file(_torn_manifest),
    "artifact-content": _file(_truncated_blob),
}
"""By the check that must find it: from a healthy installation to one with this problem."""


async def _changed(js: JetStreamContext, **changes: Any) -> None:
    found = await js.stream_info("USAGE")
    await js.update_stream(found.config.evolve(**changes))


async def _in_memory(js: JetStreamContext) -> None:
    found = await js.stream_info("USAGE")
    await js.delete_stream("USAGE")
    await js.add_stream(found.config.evolve(storage=api.StorageType.MEMORY))


async def _deleted(js: JetStreamContext) -> None:
    await js.delete_stream("EVALS")


async def _without_subject(js: JetStreamContext) -> None:
    found = await js.stream_info("DATASETS")
    kept = [each for each in found.config.subjects or () if each != "dataset.*"]
    await js.update_stream(found.config.evolve(subjects=kept))


PLANTED_IN_BROKER: Mapping[str, Callable[[JetStreamContext], Awaitable[None]]] = {
    "stream-missing": _deleted,
    "stream-memory": _in_memory,
    "stream-discard": lambda js: _changed(js, discard=api.DiscardPolicy.OLD),
    "stream-limit": lambda js: _changed(js, max_bytes=1 << 20),
    "stream-subjects": _without_subject,
    "stream-schema": lambda js: set_schema(js, "USAGE", 2),
}
"""By the check that must find it: what is done to the streams of a real broker."""
