"""Consistency check: read models from the streams, against the snapshot and the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_client import Modelmill
from modelmill_job_index.book import JobBook, unpack
from modelmill_job_index.index import JobIndex
from modelmill_job_index.snapshots import Snapshots, UnfitError
from modelmill_jobs.job_status import status_word
from modelmill_registry.aliases import AliasBook
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_service_kit.errors import UnavailableError

NEVER = 10**12
READ_SECONDS = 600.0
ATTEMPTS = 3

Facts = Mapping[str, object]
"""What is compared of each thing, by its id."""


class Follows(Protocol):
    """A read model."""

    ready: asyncio.Event

    async def run(self) -> None: ...


class Ask(Protocol):
    """Gives a client that speaks for a tenant."""

    def __call__(self, tenant: str) -> Modelmill: ...


@dataclass(frozen=True)
class Comparison:
    """One read model and what was found of it elsewhere."""

    name: str
    count: int
    """In the streams."""
    difference: str = ""
    """The first, or empty."""


async def compare_snapshot(bus: Bus) -> Comparison:
    """The jobs as a restart would have them, beside a reading of every message."""
    snapshots = Snapshots(bus, every_messages=NEVER, every_seconds=NEVER)
    try:
        found = await snapshots.newest()
    except UnfitError:
        found = None  # a restart ignores it, too
    if found is None:
        return Comparison("jobs (snapshot: none in use)", 0)
    replayed, restored = JobIndex(bus), JobIndex(bus, snapshots)
    async with _following(replayed), _following(restored):
        difference = ""
        for _ in range(ATTEMPTS):  # it may be moving
            newest = max(replayed.sequence, restored.sequence)
            for ledger in (replayed, restored):
                await ledger.wait_for(newest, READ_SECONDS)
            told, truth = await _packed(restored.book), await _packed(replayed.book)
            difference = first_difference(truth, told, "the snapshot")
            if not difference:
                break
        return Comparison("jobs (snapshot)", len(replayed.book), difference)


async def compare_gateway(bus: Bus, ask: Ask) -> list[Comparison]:
    """What every tenant is told by the gateway, beside the streams."""
    known = _Known(bus)
    async with known.read():
        compared = []
        for name in _LISTS:
            difference, count = "", 0
            for tenant in sorted(known.tenants()):
                for _ in range(ATTEMPTS):  # it may be moving
                    truth = known.facts(name, tenant)
                    told = await asyncio.to_thread(_told, ask, tenant, name)
                    found = first_difference(truth, told, f"the gateway, asked by {tenant},")
                    if not found:
                        break
                count += len(truth)
                difference = difference or found
            compared.append(Comparison(name, count, difference))
        return compared


def first_difference(truth: Facts, told: Facts, who: str) -> str:
    """What `who` says otherwise than the streams, of the first id that differs; empty if none."""
    for name in sorted({*truth, *told}):
        if name not in told:
            return f"{name} is in the streams and {who} does not know it"
        if name not in truth:
            return f"{who} knows {name}, which is not in the streams"
        if truth[name] != told[name]:
            return f"{name}: {who} says {told[name]}, the streams say {truth[name]}"
    return ""


_LISTS: Mapping[str, Callable[[Modelmill], Iterable[Any]]] = {
    "jobs": lambda client: client.jobs.list(),
    "models": lambda client: client.models.list(),
    "datasets": lambda client: client.datasets.list(),
    "files": lambda client: client.files.list(),
    "aliases": lambda client: client.aliases.list(),
}


class _Known:
    """Read models of our own, read from the first message on."""

    def __init__(self, bus: Bus) -> None:
        self.jobs = JobIndex(bus)
        self.models = ModelCatalogue(bus)
        self.datasets = DatasetCatalogue(bus)
        self.files = FileCatalogue(bus)
        self.aliases = AliasBook(bus)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        """Follow all of them within the block."""
        async with (
            _following(self.jobs),
            _following(self.models),
            _following(self.datasets),
            _following(self.files),
            _following(self.aliases),
        ):
            yield

    def tenants(self) -> set[str]:
        """Whoever owns anything."""
        return (
            {seen.tenant for _, seen in self.jobs.book.items() if seen.tenant}
            | self.models.tenants()
            | self.datasets.tenants()
            | self.files.tenants()
            | self.aliases.tenants()
        ) - {SHARED_TENANT}

    def facts(self, name: str, tenant: str) -> Facts:
        """What the gateway should say to a tenant."""
        if name == "jobs":
            return {
                job_id: status_word(seen.status)
                for job_id, seen in self.jobs.book.items()
                if seen.requested_sequence and seen.tenant == tenant
            }
        if name == "models":
            return {each.version_id: each.digest for each in self.models.list(tenant)}
        if name == "datasets":
            return {each.dataset_id: each.digest for each in self.datasets.list(tenant)}
        if name == "files":
            return {each.file_id: each.digest for each in self.files.list(tenant)}
        return {each.name: each.version_id for each in self.aliases.list(tenant)}


def _told(ask: Ask, tenant: str, name: str) -> Facts:
    with ask(tenant) as client:
        items = [*_LISTS[name](client)]
    if name == "jobs":
        return {item["id"]: item["status"] for item in items}
    if name == "aliases":
        return {item["id"]: item["version_id"] for item in items}
    # Names are listed among the models, and datasets in the making among the datasets.
    return {item["id"]: item["digest"] for item in items if item.get("digest")}


class _Whole:
    """A packed job that says what is in it only when it is shown."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole) and self._packed == other._packed

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def __str__(self) -> str:
        entry = unpack(self._packed)
        said = ", ".join(event.message or "nothing" for event in entry.history.states)
        asked = "never asked for"
        if entry.requested is not None:
            request = MessageToDict(entry.requested, preserving_proto_field_name=True)
            asked = f"asked for: {json.dumps(request, ensure_ascii=False, sort_keys=True)}"
        return f"{status_word(entry.status)} after {said or 'no event'} ({asked})"


async def _packed(book: JobBook) -> Facts:
    ids = [job_id for job_id, _ in book.items()]
    return {
        job_id: _Whole(packed)
        for job_id, packed in zip(ids, [each async for each in book.packed()], strict=False)
    }


@asynccontextmanager
async def _following(model: Follows) -> AsyncIterator[None]:
    running = asyncio.create_task(model.run())
    try:
        async with asyncio.timeout(READ_SECONDS):
            await model.ready.wait()
        yield
    except TimeoutError as error:
        raise UnavailableError("the streams could not be read to their end") from error
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
