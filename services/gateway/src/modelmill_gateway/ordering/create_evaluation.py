"""Order an evaluation of a model, and of another beside it."""

from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.kinds import EVALUATE
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import Owner
from modelmill_gateway.routing.find_model import FindModel


class CreateEvaluation:
    """See `modelmill.trainer.v1.TrainerService.CreateEvaluationJob` for what it refuses."""

    def __init__(
        self, evaluations: Owner[EvaluationSpec], find_model: FindModel, order_job: OrderJob
    ) -> None:
        self._evaluations = evaluations
        self._find_model = find_model
        self._order_job = order_job

    async def __call__(
        self,
        spec: EvaluationSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord:
        """Order it under the caller's name.

        Args:
            spec: `model` and `compare_to` may be an alias, a version id or a name, and mean what
                they mean in a chat: what is measured is what is served.

        Raises:
            ModelNotAllowedError: the caller's key is limited to other models.
            ModelNotFoundError: no such model.
            NotFoundError: the dataset or a file is unknown.
            InvalidInputError: the spec or a task is wrong; every error is listed.
            PreconditionError: no inference service can be asked.
            AlreadyExistsError: the key was used for another spec.
            OverloadedError: too many jobs of the tenant's wait.
            UnavailableError: the trainer or the bus does not answer; nothing was accepted.
        """
        return await self._order_job(
            self._evaluations,
            lambda: self._wanted(spec, caller),
            kind=EVALUATE,
            caller=caller,
            idempotency_key=idempotency_key,
            priority=priority,
        )

    async def _wanted(self, spec: EvaluationSpec, caller: Caller) -> EvaluationSpec:
        """The spec with models as inference is asked for them."""
        if not spec.model:
            raise InvalidInputError("model: must be given")
        wanted = EvaluationSpec()
        wanted.CopyFrom(spec)
        wanted.model = await self._asked(spec.model, caller)
        if spec.compare_to:
            wanted.compare_to = await self._asked(spec.compare_to, caller)
        return wanted

    async def _asked(self, model: str, caller: Caller) -> str:
        caller.require_model(model)
        return (await self._find_model.asked(caller.tenant, model)).model
