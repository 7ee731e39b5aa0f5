"""Export of a tenant: everything that it has, as one tar archive of JSON lines and files.

tenant.json                        name, status, limits and their use
files.jsonl, files/ID              records and contents of uploaded files
datasets.jsonl, datasets/ID/...    records and files of datasets
models.jsonl, models/ID/README.md  versions and their cards; weights are exported version by version
jobs.jsonl                         what was ordered, and where it stands
aliases.jsonl ... policies.jsonl   other records, without secrets
"""

import asyncio
import json
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch
from modelmill.registry.v1.model_events_pb2 import FileState, ModelReady
from modelmill_bus.bus import Bus
from modelmill_job_index.index import JobIndex
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_service_kit.errors import NotFoundError, UnavailableError

from modelmill_gateway.ports import DataPrep
from modelmill_gateway.spending.budget_book import budget_message
from modelmill_gateway.tenants.manage_tenants import ManageTenants, ShownTenant

CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 512
"""Of a tar archive."""
CARD = "README.md"
HIDDEN = frozenset(
    ("key_sha256", "sealed_secret", "previous_sealed_secret", "bundle", "nonce", "owner", "leases")
)
"""Fields that open something, or say how we work."""


def _recorded_on(tenant: str) -> dict[str, str]:
    """By the name of a list, the subjects of its records; of those by id others' are left out."""
    return {
        "aliases": f"alias.state.{tenant}.*",
        "webhooks": "webhook.state.*",
        "keys": "key.state.*",
        "evals": "eval.state.*",
        "experiments": "experiment.state.*",
        "policies": f"policy.state.{tenant}",
        "usage": f"usage.recorded.{tenant}",
        "feedback": f"feedback.recorded.{tenant}",
        "changes": f"change.recorded.{tenant}",
    }


class ExportTenant:
    """Writes the archive as it is read; nothing of it is kept here."""

    def __init__(
        self,
        bus: Bus,
        models: ModelCatalogue,
        datasets: DatasetCatalogue,
        jobs: JobIndex,
        tenants: ManageTenants,
        files: DataPrep,
        store: Callable[[], ArtifactStore],
    ) -> None:
        self._bus = bus
        self._models = models
        self._datasets = datasets
        self._jobs = jobs
        self._tenants = tenants
        self._files = files
        self._store = cache(store)

    def __call__(self, name: str) -> AsyncIterator[bytes]:
        """The archive in chunks.

        Raises:
            NotFoundError: there is no such tenant; at once.
            UnavailableError: a service or the bus does not answer; also on the way.
        """
        return self._archive(self._tenants.get(name))

    async def _archive(self, shown: ShownTenant) -> AsyncIterator[bytes]:
        tenant = shown.state.tenant
        whole = {**_shown(shown.state), "budget": _shown(budget_message(shown.budget))}
        yield _entry("tenant.json", json.dumps(whole, ensure_ascii=False, indent=2).encode())
        files = [each for each in await self._files.list(tenant=tenant) if each.tenant == tenant]
        yield _lines("files", map(_shown, files))
        for file in files:
            async for chunk in self._file(file):
                yield chunk
        datasets = [each for each in self._datasets.list(tenant) if each.tenant == tenant]
        yield _lines("datasets", map(_shown, datasets))
        for dataset in datasets:
            async for chunk in self._artifact(f"datasets/{dataset.dataset_id}", dataset.digest):
                yield chunk
        models = [each for each in self._models.list(tenant) if each.tenant == tenant]
        yield _lines("models", map(_shown, models))
        for model in models:
            yield await asyncio.to_thread(self._card, model)
        jobs = self._jobs.list(tenant)
        yield _lines("jobs", (_shown(it.requested) | {"state": _shown(it.state)} for it in jobs))
        for name, subjects in _recorded_on(tenant).items():
            yield _lines(name, await self._records(tenant, subjects))
        yield bytes(2 * BLOCK_BYTES)

    async def _records(self, tenant: str, subjects: str) -> list[dict[str, Any]]:
        """All that was recorded; of a state only the last."""
        states: dict[str, dict[str, Any]] = {}
        found: list[dict[str, Any]] = []
        async for stored in self._bus.replay([subjects]):
            body = stored.body
            if body.tenant != tenant:
                continue
            if ".state." in stored.subject and not subjects.startswith("policy."):
                states[stored.subject] = _shown(body)
            elif isinstance(body, UsageBatch):
                found += map(_shown, body.requests)
            else:
                found.append(_shown(body))
        return [*states.values(), *found]

    async def _file(self, file: FileState) -> AsyncIterator[bytes]:
        yield _header(f"files/{file.file_id}", file.size_bytes)
        written = 0
        async for chunk in self._files.content(tenant=file.tenant, file_id=file.file_id):
            written += len(chunk)
            yield chunk
        if written != file.size_bytes:
            raise UnavailableError(f"file {file.file_id} was not read whole. Export again")
        yield _padding(written)

    async def _artifact(self, name: str, digest: str) -> AsyncIterator[bytes]:
        try:
            folder = await asyncio.to_thread(self._store().materialise, digest)
            manifest = await asyncio.to_thread(self._store().manifest, digest)
        except NotFoundError:
            return
        for entry in manifest.files:
            yield _header(f"{name}/{entry.path}", entry.size)
            async for chunk in _chunks(folder / entry.path):
                yield chunk
            yield _padding(entry.size)

    def _card(self, model: ModelReady) -> bytes:
        try:
            card = self._store().content(model.digest, CARD)
        except NotFoundError:
            return b""
        return _entry(f"models/{model.version_id}/{CARD}", card)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def _shown(message: Message) -> dict[str, Any]:
    """A record as it is exported: no secrets, and nothing of how it was worked on."""
    fields = MessageToDict(message, preserving_proto_field_name=True)
    return {name: value for name, value in fields.items() if name not in HIDDEN}


def _lines(name: str, records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
    return _entry(f"{name}.jsonl", lines.encode())


def _entry(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + _padding(len(content))


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size, int(time.time())
    return entry.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK_BYTES)
