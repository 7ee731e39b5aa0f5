"""Erasure of a deleted tenant: each service removes what the tenant has in its own streams.

A record `tenant.state.<tenant>` with the status ERASING is the order, `tenant.erased.<tenant>.
<service>` the answer. Who was stopped on the way begins again, as nothing is forgotten before it is
erased: artifacts go before the messages that name them, and those before what tells whose they are.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import (
    TENANT_STATUS_DELETED,
    TENANT_STATUS_ERASING,
    ChangeRecorded,
    RemovedObjects,
    TenantErased,
    TenantState,
    UsageBatch,
)
from modelmill_service_kit.errors import DomainError

from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.subjects import ERASERS, STREAMS, Stream, route, tenant_erased

log = logging.getLogger(__name__)

KINDS = {
    "job.requested.*.*.*": "jobs",
    "model.ready": "models",
    "file.state.*": "files",
    "dataset.ready": "datasets",
    "alias.state.*.*": "aliases",
    "policy.state.*": "policies",
    "key.state.*": "keys",
    "budget.state.*": "limits",
    "eval.state.*": "evals",
    "experiment.state.*": "experiments",
    "webhook.state.*": "webhooks",
    "feedback.recorded.*": "feedback",
    "log.segment.*": "logs",
    "audit.*": "verdicts",
    "change.recorded.*": "changes",
}
"""What a report counts by templates of subjects, each object once."""
ARTIFACTS, MESSAGES, USAGE, BATCHES = "artifacts", "messages", "usage", "batches"
NAMING = ("JOBS", "MODELS", "DATASETS", "LOGS")
"""Streams whose messages name artifacts."""
FIRST_NAMING = "DATASETS"
"""Its eraser counts artifacts that messages of jobs name, too."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TENANT_ROUTES = "_tenant"
"""How the names of routes end by which operators change tenants."""
TENANTS, ERASURES, SNAPSHOTS = "TENANTS", "ERASURES", "SNAPSHOTS"
ERASER_OF_ANSWERS = next(it.eraser for it in STREAMS if it.name == ERASURES)
AGAIN_SECONDS = 0.5
LATE_SECONDS = 600.0
"""How long after a deletion something may still be written by requests that were in hand."""
DAY_SECONDS = 24 * 3600.0
"""How long after it whoever starts looks for that."""


class Artifacts(Protocol):
    """See `modelmill_registry.artifact_store.ArtifactStore`; calls block."""

    def present(self, digests: Collection[str]) -> set[str]: ...

    def repeating(self, digests: Collection[str]) -> set[str]: ...

    def erase(self, digests: Collection[str]) -> None: ...

    def remove_parts(self, name: str) -> None: ...


class LocalState(Protocol):
    """What a service keeps of tenants beside the bus and the store."""

    async def count(self, tenant: str) -> Mapping[str, int]:
        """By kind, what there is of the tenant's."""

    async def erase(self, tenant: str) -> None:
        """Remove it."""


@dataclass
class _Found:
    """What a tenant has in the streams of one service."""

    messages: dict[str, list[int]] = field(default_factory=dict)
    """Sequences by stream, in the order in which they were written."""
    objects: dict[str, set[str]] = field(default_factory=dict)
    """Subjects, or ids, by kind."""
    requests: int = 0
    ids: set[str] = field(default_factory=set)
    """Of its jobs and versions, by which messages without a tenant are known."""
    jobs: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)

    def add(self, stream: Stream, stored: Stored[Any]) -> None:
        """Take in a message of the tenant's."""
        self.messages.setdefault(stream.name, []).append(stored.sequence)
        body, template = stored.body, route(stored.subject).template
        named = {name: getattr(body, name, "") for name in ("job_id", "version_id")}
        self.ids.update(filter(None, named.values()))
        if stream.name == "JOBS":
            self.jobs.add(named["job_id"])
        if stream.name in NAMING:
            self.digests.update(DIGEST.findall(str(body)))
        if isinstance(body, UsageBatch):
            self.requests += len(body.requests)
        kind = KINDS.get(template)
        if kind is None:
            return
        is_record = ".state." in template or ".requested." in template
        made = named["version_id"] or getattr(body, "dataset_id", "")
        one = stored.subject if is_record else made or str(stored.sequence)
        kind = BATCHES if kind == "jobs" and body.kind == "batch" else kind
        self.objects.setdefault(kind, set()).add(one)

    def counts(self) -> Counter[str]:
        """By kind."""
        counted = Counter({kind: len(found) for kind, found in self.objects.items()})
        counted[USAGE] = self.requests
        # A snapshot is of all tenants' jobs, and another is written.
        own = [found for stream, found in self.messages.items() if stream != SNAPSHOTS]
        counted[MESSAGES] = sum(map(len, own))
        return +counted


class TenantEraser:
    """Follows what operators delete, and erases the part of one service.

    Args:
        artifacts: where those lie that the service's messages name.
        local: what else it has of tenants.
        before: called before the first message goes, for those who must hear of an end.
    """

    def __init__(
        self,
        bus: Bus,
        service: str,
        *,
        artifacts: Artifacts | None = None,
        local: Collection[LocalState] = (),
        before: Callable[[str], Awaitable[None]] | None = None,
        late_seconds: float = LATE_SECONDS,
    ) -> None:
        self._bus = bus
        self._service = service
        self._artifacts = artifacts
        self._local = local
        self._before = before
        self._late_seconds = late_seconds
        own = [it for it in STREAMS if it.eraser == service]
        self._streams = [it for it in own if it.name not in (TENANTS, ERASURES)]

    async def run(self) -> None:
        """Follow for ever; run it as a task of its own and end it by cancelling."""
        async with asyncio.TaskGroup() as tasks:
            async for stored in self._bus.follow(("tenant.state.*",)):
                state: TenantState = stored.body
                if state.status == TENANT_STATUS_ERASING:
                    await _until_done(partial(self.erase, state.tenant))
                elif state.status == TENANT_STATUS_DELETED:
                    tasks.create_task(self._again_later(state))

    async def _again_later(self, state: TenantState) -> None:
        """Erase what requests in hand wrote behind the deletion."""
        since = time.time() - state.changed_at.ToNanoseconds() / 1e9
        if since < DAY_SECONDS:
            await asyncio.sleep(max(0.0, self._late_seconds - since))
            await _until_done(partial(self._erase_rest, state.tenant))

    async def _erase_rest(self, tenant: str) -> None:
        await self._erase_found(tenant, await self._find(tenant))
        await self._erase_local(tenant)
        if self._service == ERASER_OF_ANSWERS:
            # A gateway that ends between the record of the end and this leaves them.
            for service in ERASERS:
                await forget_answers(self._bus, tenant, service)

    async def erase(self, tenant: str) -> None:
        """Erase the tenant's part, and say so; what was said before a stop is not counted anew.

        Raises:
            UnavailableError: the bus or the store does not answer; begin again.
        """
        subject = tenant_erased(tenant, self._service)
        told = await self._bus.last(subject, TenantErased)
        if told is not None and told.body.done:
            return
        found = await self._find(tenant)
        removed = await self._counted(tenant, found)
        if told is not None:
            before = Counter({each.kind: each.count for each in told.body.removed})
            removed |= before
        await self._tell(tenant, removed, done=False)
        await self._until_counted(tenant)
        if self._before is not None:
            await self._before(tenant)
            found = await self._find(tenant)
        await self._erase_local(tenant)
        while found.messages:
            await self._erase_found(tenant, found)
            # What was written meanwhile.
            found = await self._find(tenant)
        await self._tell(tenant, removed, done=True)

    async def _until_counted(self, tenant: str) -> None:
        """Return once all services have counted: what two of them name is there until then."""
        missing = {*ERASERS}
        answers = self._bus.follow((f"tenant.erased.{tenant}.*",))
        async with aclosing(answers) as told:  # type: ignore[type-var]
            async for stored in told:
                missing.discard(stored.body.service)
                if not missing:
                    return

    async def _counted(self, tenant: str, found: _Found) -> Counter[str]:
        counted = found.counts()
        if self._artifacts is not None and found.digests:
            going = found.digests - await self._digests_of_others(tenant)
            if FIRST_NAMING not in found.messages:
                going -= await self._digests_in(FIRST_NAMING, tenant)
            going |= await asyncio.to_thread(self._artifacts.repeating, going)
            present = await asyncio.to_thread(self._artifacts.present, going)
            counted[ARTIFACTS] = len(present)
        for local in self._local:
            counted.update(await local.count(tenant))
        return +counted

    async def _tell(self, tenant: str, removed: Mapping[str, int], *, done: bool) -> None:
        erased = TenantErased(
            tenant=tenant, service=self._service, done=done, removed=removed_objects(removed)
        )
        await self._bus.publish(tenant_erased(tenant, self._service), erased)

    async def _erase_local(self, tenant: str) -> None:
        for local in self._local:
            await local.erase(tenant)

    async def _erase_found(self, tenant: str, found: _Found) -> None:
        if self._artifacts is not None:
            others = await self._digests_of_others(tenant) if found.digests else set()
            going = found.digests - others
            # No message need name what repeats rows: it goes first, as long as it can be found.
            repeating = await asyncio.to_thread(self._artifacts.repeating, going)
            for erased in (repeating - others, going):
                await asyncio.to_thread(self._artifacts.erase, erased)
            for job_id in found.jobs:
                await asyncio.to_thread(self._artifacts.remove_parts, job_id)
        # Newest first, and streams that are known by others before these.
        for stream, sequences in reversed(found.messages.items()):
            for sequence in reversed(sequences):
                await self._bus.erase(stream, sequence)

    async def _find(self, tenant: str) -> _Found:
        found = _Found()
        for stream in self._streams:
            async for stored in _messages(self._bus, stream):
                if _is_of(tenant, stored, found.ids) or stream.name == SNAPSHOTS:
                    found.add(stream, stored)
        return found

    async def _digests_in(self, name: str, tenant: str) -> set[str]:
        """Digests that the tenant's messages of one stream name."""
        (stream,) = (it for it in STREAMS if it.name == name)
        named: set[str] = set()
        async for stored in _messages(self._bus, stream):
            if _is_of(tenant, stored, ()):
                named.update(DIGEST.findall(str(stored.body)))
        return named

    async def _digests_of_others(self, tenant: str) -> set[str]:
        """Digests that some other tenant's messages name."""
        named: set[str] = set()
        for stream in STREAMS:
            if stream.name in NAMING:
                async for stored in _messages(self._bus, stream):
                    if getattr(stored.body, "tenant", tenant) != tenant:
                        named.update(DIGEST.findall(str(stored.body)))
        return named


async def _until_done(step: Callable[[], Awaitable[None]]) -> None:
    """Repeat a step while the bus, the store or the disk fails it."""
    while True:
        try:
            await step()
            return
        except (DomainError, OSError) as error:
            log.warning("the erasure of a tenant waits: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)


async def forget_answers(bus: Bus, tenant: str, service: str) -> None:
    """Erase what a service said of an erasure that is done."""
    while (told := await bus.last(tenant_erased(tenant, service), TenantErased)) is not None:
        await bus.erase(ERASURES, told.sequence)


async def _messages(bus: Bus, stream: Stream) -> AsyncIterator[Stored[Any]]:
    """All messages of a stream, in order."""
    if not stream.work_queue:
        async for stored in bus.replay([row.template for row in stream.rows]):
            yield stored
        return
    # A second consumer would take from the one whose work it is.
    facts = await bus.facts(stream.name)
    for sequence in range(max(facts.first_sequence, 1), facts.last_sequence + 1):
        found = await bus.stored_at(stream.name, sequence)
        if found is not None:
            yield found


def _is_of(tenant: str, stored: Stored[Any], ids: Collection[str]) -> bool:
    """Whether a message is the tenant's; one that names none is its job's or version's."""
    body: Message = stored.body
    if isinstance(body, ChangeRecorded) and body.route.endswith(TENANT_ROUTES):
        return tenant in (body.tenant, body.object_id)
    if "tenant" in body.DESCRIPTOR.fields_by_name:
        return bool(stored.body.tenant == tenant)
    named = (getattr(body, name, "") for name in ("job_id", "version_id"))
    return any(each in ids for each in named if each)


def removed_objects(counts: Mapping[str, int]) -> Iterable[RemovedObjects]:
    """Counts as they are written, by kind."""
    return [RemovedObjects(kind=kind, count=count) for kind, count in sorted(counts.items())]
