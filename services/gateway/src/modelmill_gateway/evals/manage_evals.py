"""Evals of a tenant: made, shown, renamed, deleted; and runs that are not shown any more."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill_bus.envelope import Stored
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.ids import job_id
from modelmill_bus.read_model import CatchesUp, until_seen
from modelmill_service_kit.errors import AlreadyExistsError, PreconditionError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.eval_rows import item_schema_of
from modelmill_gateway.evals.item_schema import BadSchemaError, ItemSchema

MOST_OF_A_TENANT = 100
MAX_BYTES = 32 * 1024
MOST_DELETED_RUNS = 500
KIND = "eval"
SCHEMA = "data_source_config.item_schema"


class Evals(CatchesUp, Protocol):
    """See `modelmill_gateway.adapters.eval_book.EvalBook`."""

    def get(self, tenant: str, eval_id: str) -> EvalState: ...
    def list(self, tenant: str) -> Sequence[EvalState]: ...
    async def newest(self, tenant: str, eval_id: str) -> Stored[EvalState]: ...
    async def write(self, state: EvalState, *, expected: int) -> int: ...


async def _check_schema(data_source_config: Mapping[str, Any]) -> None:
    try:
        await asyncio.to_thread(ItemSchema, item_schema_of(data_source_config))
    except BadSchemaError as error:
        raise BadRequestError(f"{SCHEMA}: {error}", param=SCHEMA) from None


class ManageEvals:
    """All raise NotFoundError for what the tenant has not, and UnavailableError without a bus."""

    def __init__(self, evals: Evals) -> None:
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
