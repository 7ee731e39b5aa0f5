"""Use case: queue the default build of every newly trained model."""

import logging

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.kinds import OPTIMIZE, prefix_of
from modelmill_jobs.submit import JobQueue
from modelmill_registry.default_build import default_build_of
from modelmill_service_kit.errors import AlreadyExistsError

from modelmill_optimizer_builder.check_build_spec import with_defaults
from modelmill_optimizer_builder.domain.forms import ADAPTER, form_named

log = logging.getLogger(__name__)

REQUESTED_BY = "optimizer-builder"


class OrderDefaultBuild:
    """Idempotent: the job id depends only on the version, so a redelivery finds the first job.

    It looks nothing up: the announcement has all that queuing needs.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def __call__(self, model: ModelReady) -> None:
        """Queue the default build of a version, if its form has one.

        Raises:
            UnavailableError: The bus does not answer; the announcement must be redelivered.
        """
        build = default_build_of(model)
        if build is None:
            return
        spec = BuildSpec(
            source_version_id=model.version_id, target_form=build.form, dataset_id=model.dataset_id
        )
        weights_bytes = 0 if model.form == ADAPTER else model.size_bytes
        try:
            job = await self._queue.submit(
                kind=OPTIMIZE,
                prefix=prefix_of(OPTIMIZE),
                tenant=model.tenant,
                requested_by=REQUESTED_BY,
                idempotency_key=build.idempotency_key,
                spec=with_defaults(spec),
                needs=form_named(build.form).needs(weights_bytes),
            )
        except AlreadyExistsError:
            # Queued by a release with other defaults; that build is kept.
            log.info("the default build of %s already exists", model.version_id)
        else:
            log.info("the default build of %s is job %s", model.version_id, job.job_id)
