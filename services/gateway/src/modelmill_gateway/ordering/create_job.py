"""Order a dataset, an evaluation or a build: models that its spec names are looked up first."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from google.protobuf.message import Message
from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import Owner
from modelmill_gateway.routing.find_model import FindModel

DEFAULT_FORM = "openvino-int8"

SpecT = TypeVar("SpecT", bound=Message)


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
        """A build stands for what it was made from. An empty form is openvino-int8."""
        if not spec.source_version_id:
            raise InvalidInputError("source_version_id: must be given")
        wanted = BuildSpec()
        wanted.CopyFrom(spec)
        source = await self._find_model.buildable(caller.tenant, spec.source_version_id)
        wanted.source_version_id = source.version_id
        wanted.target_form = spec.target_form or DEFAULT_FORM
        return wanted

    async def _asked(self, model: str, caller: Caller) -> str:
        caller.require_model(model)
        return (await self._find_model.asked(caller.tenant, model)).model
