"""Order a run of an eval: rows, sampled if it says so, and graded."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelmill.gateway.v1.gateway_jobs_pb2 import EvalRunSpec
from modelmill_bus.kinds import BATCH, derived_id
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import AlreadyExistsError, NotFoundError

from modelmill_gateway.batches.create_batch import WINDOW_SECONDS, authority_of
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.eval_rows import item_schema_of
from modelmill_gateway.evals.manage_evals import ManageEvals
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import DataPrep, Owner
from modelmill_gateway.routing.find_model import FindModel

PURPOSE = "evals"
PREFIX = "evalrun"
CHUNK_BYTES = 1 << 20
SOURCE = "data_source.source"


@dataclass(frozen=True)
class RunRequest:
    """What somebody wants to be run."""

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
