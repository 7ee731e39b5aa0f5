"""Evals of a tenant: made, shown, renamed, deleted; their runs ordered, shown, and hidden."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill.gateway.v1.gateway_jobs_pb2 import EvalRunSpec
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.keyed_store import KeyedStore
from modelmill_bus.kinds import BATCH, derived_id, job_id
from modelmill_bus.read_model import until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import AlreadyExistsError, NotFoundError, PreconditionError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.batches.create_batch import WINDOW_SECONDS, authority_of
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.eval_rows import item_schema_of
from modelmill_gateway.evals.item_schema import BadSchemaError, ItemSchema
from modelmill_gateway.evals.run_eval import ITEMS
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import DataPrep, Owner
from modelmill_gateway.routing.find_model import FindModel

DELETED_SECONDS = 30 * 24 * 3600.0
"""How long it is known that an eval is deleted."""


class EvalBook(KeyedStore[EvalState]):
    """Read model of `eval.state.*`."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "eval.state", key="eval_id", noun="eval", listed_at="/v1/evals")

    def _kept_seconds(self, record: EvalState) -> float | None:
        return DELETED_SECONDS if record.deleted else None


MOST_OF_A_TENANT = 100
MAX_BYTES = 32 * 1024
MOST_DELETED_RUNS = 500
KIND = "eval"
SCHEMA = "data_source_config.item_schema"


async def _check_schema(data_source_config: Mapping[str, Any]) -> None:
    try:
        await asyncio.to_thread(ItemSchema, item_schema_of(data_source_config))
    except BadSchemaError as error:
        raise BadRequestError(f"{SCHEMA}: {error}", param=SCHEMA) from None


class ManageEvals:
    """All raise NotFoundError for what the tenant has not, and UnavailableError without a bus."""

    def __init__(self, evals: EvalBook) -> None:
        self._evals = evals

    def get(self, eval_id: str, caller: Caller) -> EvalState:
        """One of them."""
        return self._evals.get(caller.tenant, eval_id)

    def list(self, caller: Caller) -> Sequence[EvalState]:
        """All of the tenant's, oldest first."""
        return self._evals.list(caller.tenant)[::-1]

    async def create(
        self,
        *,
        name: str,
        data_source_config: Mapping[str, Any],
        testing_criteria: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, str],
        caller: Caller,
        idempotency_key: str,
    ) -> EvalState:
        """Make one; the same key finds it again.

        Raises:
            AlreadyExistsError: the key was used for another one.
            BadRequestError: it is too large, or rows cannot be held to its schema.
            PreconditionError: the tenant has as many as it may have.
        """
        state = EvalState(
            eval_id=job_id(KIND, tenant=caller.tenant, kind=KIND, idempotency_key=idempotency_key),
            tenant=caller.tenant,
            name=name,
            metadata=metadata,
            data_source_config=json.dumps(data_source_config, ensure_ascii=False),
            testing_criteria=json.dumps(testing_criteria, ensure_ascii=False),
            changed_by=caller.subject,
        )
        state.created_at.GetCurrentTime()
        if state.ByteSize() > MAX_BYTES:
            raise BadRequestError(f"an eval has at most {MAX_BYTES} bytes")
        await _check_schema(data_source_config)
        if len(self._evals.list(caller.tenant)) >= MOST_OF_A_TENANT:
            raise PreconditionError(f"there are {MOST_OF_A_TENANT} evals. Delete one first")
        try:
            sequence = await self._evals.write(state, expected=0)
        except StaleWriteError:
            return await self._existing(state)
        await until_seen(self._evals, sequence)
        return state

    async def change(
        self, eval_id: str, caller: Caller, name: str | None, metadata: Mapping[str, str] | None
    ) -> EvalState:
        """Give it another name or other words; what is None stays."""

        def changed(state: EvalState) -> None:
            if name is not None:
                state.name = name
            if metadata is not None:
                state.metadata.clear()
                state.metadata.update(metadata)

        return await self._changed(eval_id, caller, changed)

    async def delete(self, eval_id: str, caller: Caller) -> None:
        """For good; its runs are not shown any more, and end by themselves."""

        def deleted(state: EvalState) -> None:
            state.deleted = True
            for name in ("metadata", "data_source_config", "testing_criteria", "deleted_runs"):
                state.ClearField(name)

        await self._changed(eval_id, caller, deleted)

    async def delete_run(self, eval_id: str, run_id: str, caller: Caller) -> None:
        """Show a run no more. Raises PreconditionError when too many are deleted already."""

        def without(state: EvalState) -> None:
            if len(state.deleted_runs) >= MOST_DELETED_RUNS:
                raise PreconditionError(
                    f"{MOST_DELETED_RUNS} runs of this eval are deleted already"
                )
            if run_id not in state.deleted_runs:
                state.deleted_runs.append(run_id)

        await self._changed(eval_id, caller, without)

    async def _existing(self, wanted: EvalState) -> EvalState:
        stored = (await self._evals.newest(wanted.tenant, wanted.eval_id)).body
        fields = ("data_source_config", "testing_criteria")
        if any(getattr(stored, each) != getattr(wanted, each) for each in fields):
            raise AlreadyExistsError("the idempotency key was used for another eval")
        return stored

    async def _changed(
        self, eval_id: str, caller: Caller, change: Callable[[EvalState], None]
    ) -> EvalState:
        while True:
            stored = await self._evals.newest(caller.tenant, eval_id)
            state = EvalState()
            state.CopyFrom(stored.body)
            change(state)
            state.changed_by = caller.subject
            try:
                sequence = await self._evals.write(state, expected=stored.sequence)
            except StaleWriteError:
                continue
            await until_seen(self._evals, sequence)
            return state


SPEC = EvalRunSpec.DESCRIPTOR.full_name


class ShowEvalRuns:
    """All raise NotFoundError when the tenant has no such eval, or it no such run."""

    def __init__(
        self, evals: ManageEvals, jobs: JobIndex, store: Callable[[], ArtifactStore]
    ) -> None:
        self._evals = evals
        self._jobs = jobs
        # Opened when it is needed: a gateway that is asked for no rows needs none.
        self._store = cache(store)

    def list(self, eval_id: str, caller: Caller) -> Sequence[JobRecord]:
        """The eval's runs, oldest first."""
        found = self._evals.get(eval_id, caller)
        records = self._jobs.list(caller.tenant, BATCH)
        return [each for each in reversed(records) if _is_of(each, found)]

    def get(self, eval_id: str, run_id: str, caller: Caller) -> JobRecord:
        """One of them."""
        found = self._evals.get(eval_id, caller)
        record = self._jobs.get(caller.tenant, run_id)
        if not _is_of(record, found):
            raise no_such(f"run of eval {eval_id[:80]!r}", run_id, f"/v1/evals/{eval_id[:80]}/runs")
        return record

    async def items(self, record: JobRecord) -> Sequence[dict[str, Any]]:
        """What came of each row; nothing before the run has ended."""
        summary = record.state.result.summary.fields
        if "items" not in summary:
            return []
        return await asyncio.to_thread(self._read, summary["items"].string_value)

    def _read(self, digest: str) -> Sequence[dict[str, Any]]:
        with (self._store().materialise(digest) / ITEMS).open("rb") as items:
            return [json.loads(line) for line in items]


def _is_of(record: JobRecord, found: EvalState) -> bool:
    requested = record.requested
    return (
        requested.kind == BATCH
        and requested.spec_type == SPEC
        and requested.spec["eval_id"] == found.eval_id
        and requested.job_id not in found.deleted_runs
    )


PURPOSE = "evals"
PREFIX = "evalrun"
CHUNK_BYTES = 1 << 20
SOURCE = "data_source.source"


@dataclass(frozen=True)
class RunRequest:
    """Requested eval run."""

    name: str
    source: Mapping[str, Any]
    """The data source without its rows."""
    file_id: str = ""
    rows: Sequence[Mapping[str, Any]] = ()
    """Instead of a file."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class CreateEvalRun:
    """POST /v1/evals/{eval_id}/runs."""

    def __init__(
        self,
        evals: ManageEvals,
        files: DataPrep,
        find_model: FindModel,
        runs: Owner[EvalRunSpec],
        order_job: OrderJob,
    ) -> None:
        self._evals = evals
        self._files = files
        self._find_model = find_model
        self._runs = runs
        self._order_job = order_job

    async def __call__(
        self, eval_id: str, requested: RunRequest, caller: Caller, idempotency_key: str
    ) -> JobRecord:
        """Order it; rows that came with the order become a file of the tenant's.

        Raises:
            NotFoundError: no such eval.
            ModelNotFoundError: it samples or grades with a model that there is not.
            BadRequestError: there is no such file, or its purpose is another.
            AlreadyExistsError, OverloadedError, UnavailableError: as `OrderJob` says.
        """
        return await self._order_job(
            self._runs,
            lambda: self._spec(eval_id, requested, caller),
            kind=BATCH,
            caller=caller,
            idempotency_key=idempotency_key,
        )

    async def _spec(self, eval_id: str, requested: RunRequest, caller: Caller) -> EvalRunSpec:
        found = self._evals.get(eval_id, caller)
        for model in _models(requested.source, json.loads(found.testing_criteria)):
            await self._find_model.version(caller.tenant, model)
        return EvalRunSpec(
            eval_id=eval_id,
            name=requested.name,
            metadata=requested.metadata,
            file_id=await self._file_of(requested, caller.tenant),
            data_source=json.dumps(requested.source, ensure_ascii=False),
            testing_criteria=found.testing_criteria,
            item_schema=json.dumps(item_schema_of(json.loads(found.data_source_config))),
            window_seconds=WINDOW_SECONDS,
            authority=authority_of(caller),
        )

    async def _file_of(self, requested: RunRequest, tenant: str) -> str:
        if requested.file_id:
            await self._check(requested.file_id, tenant)
            return requested.file_id
        lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in requested.rows]
        content = b"".join(lines)
        # The same rows are the same file, also when the order is repeated.
        file_id = derived_id("file", tenant, PREFIX, hashlib.sha256(content).hexdigest())
        try:
            await self._files.upload(
                _chunks(content),
                tenant=tenant,
                filename="rows.jsonl",
                purpose=PURPOSE,
                file_id=file_id,
            )
        except AlreadyExistsError:
            await self._check(file_id, tenant)
        return file_id

    async def _check(self, file_id: str, tenant: str) -> None:
        try:
            file = await self._files.get(tenant=tenant, file_id=file_id)
        except NotFoundError as error:
            raise BadRequestError(f"{SOURCE}: {error.message}", param=SOURCE) from None
        if file.purpose != PURPOSE:
            message = f"{SOURCE}: the file's purpose is {file.purpose!r}, an eval's is {PURPOSE!r}"
            raise BadRequestError(message, param=SOURCE)


def _models(source: Mapping[str, Any], criteria: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of all models that the run will ask."""
    return {each["model"] for each in (source, *criteria) if each.get("model")}


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
