"""Order a smaller, faster form of a model."""

from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.kinds import OPTIMIZE
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import InvalidInputError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import Owner
from modelmill_gateway.routing.find_model import FindModel

DEFAULT_FORM = "openvino-int8"


class CreateOptimization:
    """See `modelmill.optimizer_builder.v1.OptimizerBuilderService.CreateBuild` for its refusals."""

    def __init__(
        self, builds: Owner[BuildSpec], find_model: FindModel, order_job: OrderJob
    ) -> None:
        self._builds = builds
        self._find_model = find_model
        self._order_job = order_job

    async def __call__(
        self,
        spec: BuildSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord:
        """Order it under the caller's name.

        Args:
            spec: `source_version_id` may be an alias, a version id or a name; a build stands for
                what it was made from. An empty `target_form` is openvino-int8.

        Raises:
            ModelNotFoundError: no such model.
            NotFoundError: the dataset is unknown.
            InvalidInputError: the spec is wrong; every error is listed.
            AlreadyExistsError: the key was used for another spec.
            OverloadedError: too many jobs of the tenant's wait.
            UnavailableError: the optimizer-builder or the bus does not answer; nothing was
                accepted.
        """
        return await self._order_job(
            self._builds,
            lambda: self._wanted(spec, caller.tenant),
            kind=OPTIMIZE,
            caller=caller,
            idempotency_key=idempotency_key,
            priority=priority,
        )

    async def _wanted(self, spec: BuildSpec, tenant: str) -> BuildSpec:
        """The spec with what the caller left to us."""
        if not spec.source_version_id:
            raise InvalidInputError("source_version_id: must be given")
        wanted = BuildSpec()
        wanted.CopyFrom(spec)
        source = await self._find_model.buildable(tenant, spec.source_version_id)
        wanted.source_version_id = source.version_id
        wanted.target_form = spec.target_form or DEFAULT_FORM
        return wanted
