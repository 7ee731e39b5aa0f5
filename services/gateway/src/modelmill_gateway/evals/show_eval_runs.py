"""Runs of an eval, and what came of their rows."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill.gateway.v1.gateway_jobs_pb2 import EvalRunSpec
from modelmill_bus.kinds import BATCH
from modelmill_job_index.index import JobRecord
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.evals.run_eval import ITEMS

SPEC = EvalRunSpec.DESCRIPTOR.full_name


class Evals(Protocol):
    """See `modelmill_gateway.evals.manage_evals.ManageEvals`."""

    def get(self, eval_id: str, caller: Caller) -> EvalState: ...


class Jobs(Protocol):
    """The list of jobs, newest first."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...
    def list(self, tenant: str, kind: str | None = None) -> Sequence[JobRecord]: ...


class ShowEvalRuns:
    """All raise NotFoundError when the tenant has no such eval, or it no such run."""

    def __init__(self, evals: Evals, jobs: Jobs, store: Callable[[], ArtifactStore]) -> None:
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
