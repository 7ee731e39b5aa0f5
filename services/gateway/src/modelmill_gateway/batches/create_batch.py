"""Order a batch: a job of the gateway's own, that answers a file of requests as its caller."""

from collections.abc import Mapping

from modelmill.gateway.v1.gateway_jobs_pb2 import Authority, BatchSpec
from modelmill_bus.kinds import BATCH
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import DataPrep, Owner

PURPOSE = "batch"
MAX_FILE_BYTES = 200 * 1024 * 1024
WINDOW_SECONDS = 24 * 3600


class CreateBatch:
    """POST /v1/batches."""

    def __init__(self, files: DataPrep, batches: Owner[BatchSpec], order_job: OrderJob) -> None:
        self._files = files
        self._batches = batches
        self._order_job = order_job

    async def __call__(
        self,
        *,
        endpoint: str,
        input_file_id: str,
        metadata: Mapping[str, str],
        caller: Caller,
        idempotency_key: str,
    ) -> JobRecord:
        """Order it; its lines are looked at by the job.

        Raises:
            BadRequestError: there is no such file, or it is none of a batch's.
            AlreadyExistsError, OverloadedError, UnavailableError: as `OrderJob` says.
        """

        async def wanted() -> BatchSpec:
            await self._check(input_file_id, caller.tenant)
            return BatchSpec(
                endpoint=endpoint,
                input_file_id=input_file_id,
                window_seconds=WINDOW_SECONDS,
                metadata=metadata,
                authority=authority_of(caller),
            )

        return await self._order_job(
            self._batches, wanted, kind=BATCH, caller=caller, idempotency_key=idempotency_key
        )

    async def _check(self, file_id: str, tenant: str) -> None:
        try:
            file = await self._files.get(tenant=tenant, file_id=file_id)
        except NotFoundError as error:
            raise BadRequestError(
                f"input_file_id: {error.message}", param="input_file_id"
            ) from None
        wrong = ""
        if file.purpose != PURPOSE:
            wrong = f"the file's purpose is {file.purpose!r}, a batch's is {PURPOSE!r}"
        elif file.size_bytes > MAX_FILE_BYTES:
            wrong = f"the file has {file.size_bytes} bytes, a batch's at most {MAX_FILE_BYTES}"
        if wrong:
            raise BadRequestError(f"input_file_id: {wrong}", param="input_file_id")


def authority_of(caller: Caller) -> Authority:
    """Who asks in the caller's name later on."""
    return Authority(
        subject=caller.subject,
        scopes=sorted(caller.scopes),
        key_id=caller.key_id,
        only_models=caller.models is not None,
        models=sorted(caller.models or ()),
    )
