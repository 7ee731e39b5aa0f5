"""After its erasure nothing is left of a tenant, in whatever stream or part of the store it was.

Messages are made for every row of the table of subjects, so that a new row is searched, too.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_DELETED,
    TENANT_STATUS_ERASING,
    ChangeRecorded,
    TenantErased,
    TenantState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import ERASERS, PLACE, STREAMS, Row, tenant_erased, tenant_state
from modelmill_bus.tenant_eraser import LocalState, TenantEraser
from modelmill_registry.manifest import blob_name, manifest_name
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_testkit.waiting import eventually
from nats.js.errors import NotFoundError
from registry_support.places import Place
from registry_support.store_files import FolderOf

GONE, STAYS = "gone-tenant", "other-tenant"
SNAPSHOTS = "SNAPSHOTS"
RECORDS = {"TENANTS", "ERASURES"}
"""Streams of deletions themselves; the gateway empties the second at the end."""
FIXED = {"kind": "train", "service": "gateway", "model": "jobs"}
"""Places of subjects that are no ids."""


def ids_of(tenant: str) -> dict[str, str]:
    places = {place for stream in STREAMS for row in stream.rows for place in row.places}
    mine = {place: f"{place.replace('_', '-')}-of-{tenant}" for place in places} | FIXED
    return mine | {"tenant": tenant, "version_id": f"mv-of-{tenant}"}


def filled(body: Message, tenant: str, digest: str) -> Message:
    """The message with the tenant's ids and, in every other text, its name and a digest."""
    own = ids_of(tenant)
    for each in body.DESCRIPTOR.fields:
        if each.is_repeated or each.type != each.TYPE_STRING:
            continue
        setattr(body, each.name, own.get(each.name, f"said by {tenant}"))
        if each.name == "digest":
            body.digest = digest  # type: ignore[attr-defined]
    return body


async def publish_all(bus: Bus, tenant: str, digest: str) -> None:
    """A message of the tenant's on every row of the table but those of deletions themselves."""
    for stream in STREAMS:
        for row in stream.rows:
            if stream.name not in (*RECORDS, SNAPSHOTS):
                subject = PLACE.sub(lambda place: ids_of(tenant)[place[1]], row.address)
                await bus.publish(subject, filled(row.body(), tenant, digest))


async def contents(bus: Bus) -> dict[str, list[tuple[str, int, bytes]]]:
    """Subject, sequence, and bytes with headers of all that the broker holds, by stream."""
    js = bus._link.js
    found: dict[str, list[tuple[str, int, bytes]]] = {}
    for stream in STREAMS:
        state = (await js.stream_info(stream.name)).state
        for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
            try:
                raw: Any = await js.get_msg(stream.name, sequence)
            except NotFoundError:  # it was erased
                continue
            whole = str(raw.headers or {}).encode() + (raw.data or b"")
            found.setdefault(stream.name, []).append((raw.subject, sequence, whole))
    return found


def naming(name: str, found: Mapping[str, list[tuple[str, int, bytes]]]) -> dict[str, list[str]]:
    """Subjects of messages in which a name stands, by stream."""
    marked = {
        stream: [
            subject for subject, _, whole in messages if name in subject or name.encode() in whole
        ]
        for stream, messages in found.items()
    }
    return {stream: subjects for stream, subjects in marked.items() if subjects}


@dataclass
class Uploads(LocalState):
    """What a service keeps beside bus and store."""

    of: dict[str, int] = field(default_factory=dict)

    async def count(self, tenant: str) -> Mapping[str, int]:
        return {"uploads": self.of.get(tenant, 0)}

    async def erase(self, tenant: str) -> None:
        self.of.pop(tenant, None)


async def order_erasure(bus: Bus, tenant: str) -> None:
    await bus.publish(
        tenant_state(tenant), TenantState(tenant=tenant, status=TENANT_STATUS_ERASING)
    )


def local_of(service: str, uploads: Uploads) -> tuple[LocalState, ...]:
    """What a service has beside bus and store."""
    return (uploads,) if service == "data-prep" else ()


def erasers(bus: Any, store: VerifyingStore, uploads: Uploads) -> list[TenantEraser]:
    return [
        TenantEraser(
            bus,
            service,
            artifacts=store if service in ("data-prep", "trainer") else None,
            local=local_of(service, uploads),
        )
        for service in ERASERS
    ]


async def report(bus: Bus, tenant: str) -> Counter[str] | None:
    """What all services say together; None until all are done."""
    counted = Counter[str]()
    for service in ERASERS:
        told = await bus.last(tenant_erased(tenant, service), TenantErased)
        if told is None or not told.body.done:
            return None
        counted.update({each.kind: each.count for each in told.body.removed})
    return counted


@dataclass
class Estate:
    """Two tenants with everything."""

    shared: str
    """Digest of what both sent."""
    own: dict[str, str]
    """Digest of what one alone sent."""
    uploads: Uploads


async def furnished(bus: Bus, store: VerifyingStore, folder_of: FolderOf) -> Estate:
    shared = store.commit(folder_of({"a": b"of both"}), kind="file", form="jsonl").digest
    own = {}
    for tenant in (GONE, STAYS):
        tree = {"a": b"of both", "b": f"rows of {tenant}".encode()}
        own[tenant] = store.commit(folder_of(tree), kind="file", form="jsonl").digest
        # As a teacher's answers, which no message names.
        answers = folder_of({"d": f"answers to {tenant}".encode()})
        made_from = {"dataset": own[tenant]}
        store.commit(answers, kind="teacher-answers", form="jsonl", made_from=made_from)
        part = store.part(f"job-id-of-{tenant}/1")
        part.commit(folder_of({"c": f"checkpoint of {tenant}".encode()}), kind="c", form="c")
        await publish_all(bus, tenant, own[tenant])
        await publish_all(bus, tenant, shared)
    return Estate(shared, own, Uploads({GONE: 2, STAYS: 1}))


async def erased(bus: Bus, making: list[TenantEraser]) -> Counter[str]:
    """The report, once all is done."""
    counted: Counter[str] | None = None
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in making]

        async def is_done() -> bool:
            nonlocal counted
            counted = await report(bus, GONE)
            return counted is not None

        await eventually(is_done, within=60)
        for task in running:
            task.cancel()
    assert counted is not None
    return counted


async def test_nothing_is_left_of_an_erased_tenant_and_everything_of_others(
    bus: Bus, store: VerifyingStore, place: Place, folder_of: FolderOf
):
    estate = await furnished(bus, store, folder_of)
    before = await contents(bus)
    await order_erasure(bus, GONE)

    counted = await erased(bus, erasers(bus, store, estate.uploads))

    after = await contents(bus)
    assert naming(GONE, after).keys() == RECORDS
    assert naming(STAYS, after) == naming(STAYS, before)
    assert before.keys() == {each.name for each in STREAMS} - {SNAPSHOTS, *RECORDS}
    names = place.names()
    assert not [name for name in names if GONE.encode() in place.read(name)]
    assert manifest_name(estate.own[GONE]) not in names
    assert not [name for name in names if f"job-id-of-{GONE}" in name]
    for digest in (estate.shared, estate.own[STAYS]):
        store.verify(digest)
    assert [name for name in names if f"job-id-of-{STAYS}" in name]
    assert estate.uploads.of == {STAYS: 1}
    of_one = {"jobs", "models", "files", "datasets", "aliases", "keys", "limits", "evals"}
    assert {kind: counted[kind] for kind in of_one} == dict.fromkeys(of_one, 1)
    assert (counted["uploads"], counted["webhooks"], counted["policies"]) == (2, 1, 1)
    # Its own, named by messages of two services, and the answers; what both tenants have stays.
    assert counted["artifacts"] == 2


class StruckBus:
    """A bus whose process ends at its n-th erasure."""

    def __init__(self, bus: Bus, left: int) -> None:
        self._bus = bus
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def erase(self, stream: str, sequence: int) -> None:
        if self._left == 0:
            raise ProcessLookupError
        self._left -= 1
        await self._bus.erase(stream, sequence)


@pytest.mark.parametrize("struck_at", [0, 1, 3, 6])
async def test_an_erasure_that_is_struck_goes_on_and_its_report_is_the_same(
    bus: Bus, folder_store: VerifyingStore, folder_of: FolderOf, struck_at: int
):
    estate = await furnished(bus, folder_store, folder_of)
    await order_erasure(bus, GONE)
    struck = StruckBus(bus, struck_at)
    making = erasers(struck, folder_store, Uploads(dict(estate.uploads.of)))
    ends = await asyncio.gather(*(each.erase(GONE) for each in making), return_exceptions=True)
    assert any(isinstance(each, ProcessLookupError) for each in ends)

    counted = await erased(bus, erasers(bus, folder_store, estate.uploads))

    assert naming(GONE, await contents(bus)).keys() == RECORDS
    assert counted["files"] == counted["jobs"] == counted["keys"] == counted["policies"] == 1
    assert (counted["artifacts"], counted["uploads"]) == (2, 2)


async def test_an_erasure_that_is_done_is_not_done_again(
    bus: Bus, folder_store: VerifyingStore, folder_of: FolderOf
):
    estate = await furnished(bus, folder_store, folder_of)
    await order_erasure(bus, GONE)
    counted = await erased(bus, erasers(bus, folder_store, estate.uploads))

    assert await erased(bus, erasers(bus, folder_store, estate.uploads)) == counted


async def deleted_just_now(bus: Bus) -> None:
    """The record that the gateway writes at the end of a deletion."""
    state = TenantState(tenant=GONE, status=TENANT_STATUS_DELETED)
    state.changed_at.GetCurrentTime()
    await bus.publish(tenant_state(GONE), state)


async def looked_once_more(bus: Bus, uploads: Uploads) -> None:
    """Run all erasers until nothing is left but the record."""
    late = [
        TenantEraser(bus, service, local=local_of(service, uploads), late_seconds=0.1)
        for service in ERASERS
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in late]

        async def is_gone() -> bool:
            return naming(GONE, await contents(bus)).keys() == {"TENANTS"} and not uploads.of

        # One that starts after the end of that time looks, too.
        await eventually(is_gone, within=60)
        for task in running:
            task.cancel()


async def test_what_requests_in_hand_write_behind_a_deletion_goes_too(bus: Bus):
    await deleted_just_now(bus)
    await publish_all(bus, GONE, "sha256:" + "0" * 64)

    await looked_once_more(bus, Uploads({GONE: 1}))


async def test_answers_that_a_stopped_gateway_left_go_later(bus: Bus):
    await deleted_just_now(bus)
    for service in ERASERS:
        answer = TenantErased(tenant=GONE, service=service, done=True)
        await bus.publish(tenant_erased(GONE, service), answer)

    await looked_once_more(bus, Uploads())


class FailingUploads(Uploads):
    """Uploads on a disk that fails once."""

    async def erase(self, tenant: str) -> None:
        if self.of.pop("failure", 0):
            raise OSError(5, "Input/output error")
        await super().erase(tenant)


@pytest.mark.parametrize("is_late", [False, True])
async def test_an_erasure_survives_a_failure_of_the_disk(bus: Bus, is_late: bool):
    uploads = FailingUploads({"failure": 1, GONE: 1})
    if is_late:
        await deleted_just_now(bus)
        await looked_once_more(bus, uploads)
        return
    await order_erasure(bus, GONE)
    making = [TenantEraser(bus, service, local=local_of(service, uploads)) for service in ERASERS]

    assert await erased(bus, making)
    assert uploads.of == {}


async def test_no_service_erases_before_all_have_counted(
    bus: Bus, folder_store: VerifyingStore, folder_of: FolderOf
):
    estate = await furnished(bus, folder_store, folder_of)
    before = naming(GONE, await contents(bus))
    await order_erasure(bus, GONE)
    *first, last = erasers(bus, folder_store, estate.uploads)
    early = [asyncio.create_task(each.run()) for each in first]

    async def have_counted() -> bool:
        told = [await bus.last(tenant_erased(GONE, it), TenantErased) for it in ERASERS[:-1]]
        return None not in told

    await eventually(have_counted, within=60)
    waiting = naming(GONE, await contents(bus))
    assert {name: waiting[name] for name in before} == before
    assert estate.uploads.of[GONE] == 2
    for task in early:
        task.cancel()

    counted = await erased(bus, [*first, last])
    assert counted["artifacts"] == 2


async def test_an_operators_record_that_names_the_tenant_goes_with_it(
    bus: Bus, folder_store: VerifyingStore
):
    for route, object_id in (("suspend_tenant", GONE), ("delete_model", GONE)):
        change = ChangeRecorded(tenant="operators", route=route, object_id=object_id)
        await bus.publish("change.recorded.operators", change)
    await order_erasure(bus, GONE)

    await erased(bus, erasers(bus, folder_store, Uploads()))

    left = (await contents(bus))["CHANGES"]
    assert [re.search(rb"delete_model", whole) is not None for _, _, whole in left] == [True]


def test_every_stream_has_an_eraser_that_may_read_it_whole():
    for stream in STREAMS:
        assert stream.eraser in ERASERS
        assert all(stream.eraser in row.readers for row in stream.rows), stream.name


def test_a_row_that_names_no_tenant_is_known_by_a_job_or_version():
    def is_known(row: Row) -> bool:
        fields = row.body.DESCRIPTOR.fields_by_name
        return not {"tenant", "job_id", "version_id"}.isdisjoint(fields)

    rows = [row for stream in STREAMS if stream.name != SNAPSHOTS for row in stream.rows]
    assert [row.address for row in rows if not is_known(row)] == []


def test_contents_of_an_erased_artifact_go_but_those_that_others_have(
    store: VerifyingStore, place: Place, folder_of: Callable[[Mapping[str, bytes]], Path]
):
    kept = store.commit(folder_of({"a": b"both"}), kind="file", form="jsonl")
    gone = store.commit(folder_of({"a": b"both", "b": b"alone"}), kind="file", form="jsonl")
    folder = store.materialise(gone.digest)
    alone = next(entry for entry in gone.files if entry.path == "b")

    store.erase([gone.digest, "sha256:" + "0" * 64])
    store.erase([gone.digest])

    assert store.present([kept.digest, gone.digest]) == {kept.digest}
    assert blob_name(alone.sha256) not in place.names()
    assert store.verify(kept.digest) == kept
    if "materialised" in str(folder) and folder.parent.parent == getattr(store, "_root", None):
        assert not folder.exists()
