"""Evals of a tenant: made, shown, renamed, deleted; and runs that are not shown any more."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill.gateway.v1.gateway_jobs_pb2 import EvalRunSpec
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.keyed_store import KeyedStore
from modelmill_bus.kinds import BATCH, job_id
from modelmill_bus.read_model import until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import AlreadyExistsError, PreconditionError
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.eval_rows import item_schema_of
from modelmill_gateway.evals.item_schema import BadSchemaError, ItemSchema
from modelmill_gateway.evals.run_eval import ITEMS

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
