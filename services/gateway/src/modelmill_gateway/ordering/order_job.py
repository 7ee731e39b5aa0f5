"""Order jobs of whoever owns their kind, in the caller's name; answer once they are listed here."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JOB_STATUS_QUEUED,
    JobPriority,
    JobRequested,
    JobState,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus import kinds
from modelmill_bus.kinds import prefix_of
from modelmill_bus.read_model import until_seen
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, OverloadedError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import Owner
from modelmill_gateway.routing.find_model import FindModel

RETRY_SECONDS = 30.0

SpecT = TypeVar("SpecT", bound=Message)


class PendingJobQuota:
    """Quota of pending jobs: counts one that is being created until the job index lists it.

    Exact in one gateway. Several of them let in what they are asked for at the same moment.

    Args:
        most: jobs of one tenant that may wait; 0 for any number.
    """

    def __init__(self, jobs: JobIndex, most: int) -> None:
        self._jobs = jobs
        self._most = most
        self._coming: Counter[str] = Counter()

    @contextmanager
    def place(self, tenant: str, kind: str, idempotency_key: str) -> Iterator[None]:
        """Held while a job is ordered; a repeat of one that was accepted needs none.

        Raises:
            OverloadedError: as many wait as may.
        """
        if not self._most or self._is_repeat(tenant, kind, idempotency_key):
            yield
            return
        waiting = self._jobs.waiting_of(tenant) + self._coming[tenant]
        if waiting >= self._most:
            raise _full(waiting, self._most)
        self._coming[tenant] += 1
        try:
            yield
        finally:
            self._coming[tenant] -= 1

    def _is_repeat(self, tenant: str, kind: str, idempotency_key: str) -> bool:
        if not idempotency_key:
            return False
        job_id = kinds.job_id(
            prefix_of(kind), tenant=tenant, kind=kind, idempotency_key=idempotency_key
        )
        try:
            self._jobs.get(tenant, job_id)
        except NotFoundError:
            return False
        return True


def _full(waiting: int, most: int) -> OverloadedError:
    error = OverloadedError(
        f"{waiting} jobs of yours wait already, and {most} may. Cancel one of them or ask again"
        " when one has begun",
        retry_after_seconds=RETRY_SECONDS,
    )
    return error.because("TOO_MANY_WAITING")


class OrderJob:
    """Job creation, the same for every kind."""

    def __init__(self, jobs: JobIndex, quota: PendingJobQuota) -> None:
        self._jobs = jobs
        self._quota = quota

    async def __call__(
        self,
        owner: Owner[SpecT],
        spec_of: Callable[[], Awaitable[SpecT]],
        *,
        kind: str,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
    ) -> JobRecord:
        """Order it.

        Args:
            spec_of: Looks up what the spec names, once it is known that the job may wait.

        Raises:
            AlreadyExistsError: the key was used for another spec.
            OverloadedError: too many jobs of the tenant's wait.
            UnavailableError: the owner or the bus does not answer; nothing was accepted.
        """
        with self._quota.place(caller.tenant, kind, idempotency_key):
            spec = await spec_of()
            accepted = await owner.create(
                spec, caller, idempotency_key=idempotency_key, priority=priority
            )
            await until_seen(self._jobs, accepted.sequence)
        try:
            return self._jobs.get(caller.tenant, accepted.job_id)
        except NotFoundError:
            # As the list will have it: it is behind for the moment.
            return _just_accepted(accepted.job_id, kind, caller.tenant, spec)


def _just_accepted(job_id: str, kind: str, tenant: str, spec: Message) -> JobRecord:
    requested = JobRequested(job_id=job_id, kind=kind, tenant=tenant)
    requested.spec.update(MessageToDict(spec, preserving_proto_field_name=True))
    requested.requested_at.GetCurrentTime()
    state = JobState(job_id=job_id, kind=kind, tenant=tenant, status=JOB_STATUS_QUEUED)
    return JobRecord(requested=requested, state=state, progress=None, events=())


DEFAULT_FORM, PRUNED_FORM = "openvino-int8", "pruned"


class CreateJob(Generic[SpecT]):
    """Jobs of one kind; what their specs may say is their owner's to know.

    Args:
        resolve: gives the spec as its owner takes it: see `ResolveSpecs`.
    """

    def __init__(
        self,
        kind: str,
        owner: Owner[SpecT],
        resolve: Callable[[SpecT, Caller], Awaitable[SpecT]],
        order_job: OrderJob,
    ) -> None:
        self._kind = kind
        self._owner = owner
        self._resolve = resolve
        self._order_job = order_job

    async def __call__(
        self, spec: SpecT, caller: Caller, idempotency_key: str, priority: JobPriority.ValueType
    ) -> JobRecord:
        """Order it under the caller's name.

        Raises:
            ModelNotAllowedError: the caller's key is limited to other models.
            ModelNotFoundError: no such model, or it cannot be used so.
            NotFoundError: a dataset or a file is unknown.
            InvalidInputError: the spec is wrong; every error is listed.
            PreconditionError: the owner cannot do such jobs now.
            AlreadyExistsError, OverloadedError, UnavailableError: as `OrderJob` says.
        """
        return await self._order_job(
            self._owner,
            lambda: self._resolve(spec, caller),
            kind=self._kind,
            caller=caller,
            idempotency_key=idempotency_key,
            priority=priority,
        )


class ResolveSpecs:
    """Specs with version ids in place of names: an alias, a version id or a model's name."""

    def __init__(self, find_model: FindModel) -> None:
        self._find_model = find_model

    async def dataset(self, spec: DatasetSpec, caller: Caller) -> DatasetSpec:
        """The model whose tokens are wanted is the version that training would begin from."""
        if spec.tokenize.model:
            start = await self._find_model.trainable(caller.tenant, spec.tokenize.model)
            spec.tokenize.model = start.base.version_id
        return spec

    async def evaluation(self, spec: EvaluationSpec, caller: Caller) -> EvaluationSpec:
        """Models mean what they mean in a chat: what is measured is what is served."""
        if not spec.model:
            raise InvalidInputError("model: must be given")
        wanted = EvaluationSpec()
        wanted.CopyFrom(spec)
        wanted.model = await self._asked(spec.model, caller)
        if spec.compare_to:
            wanted.compare_to = await self._asked(spec.compare_to, caller)
        return wanted

    async def build(self, spec: BuildSpec, caller: Caller) -> BuildSpec:
        """A build stands for what it was made from. Without an objective, an empty form is
        openvino-int8.
        """
        if not spec.source_version_id:
            raise InvalidInputError("source_version_id: must be given")
        wanted = BuildSpec()
        wanted.CopyFrom(spec)
        source = await self._find_model.buildable(caller.tenant, spec.source_version_id)
        wanted.source_version_id = source.version_id
        if not spec.HasField("objective"):
            wanted.target_form = spec.target_form or DEFAULT_FORM
        return wanted

    async def _asked(self, model: str, caller: Caller) -> str:
        caller.require_model(model)
        return (await self._find_model.asked(caller.tenant, model)).model
