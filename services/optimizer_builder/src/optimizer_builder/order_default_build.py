"""Use case: a model that training made gets its default build, without anybody asking."""

import logging

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import ModelReady

from optimizer_builder.create_build import KIND, Queue, as_version
from optimizer_builder.domain.build_plan import DEFAULT_MAX_ACCURACY_LOSS, default_form

log = logging.getLogger(__name__)

ORDERED_BY = "optimizer-builder"


class OrderDefaultBuild:
    """Idempotent: the version's id is the key, so that a second delivery finds the first job."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def __call__(self, ready: ModelReady) -> None:
        """Order the build of a version that has just become ready, if it gets one.

        Raises:
            UnavailableError: The bus does not answer; the event is to be delivered again.
        """
        form = default_form(as_version(ready))
        if form is None:
            return
        job = await self._queue.submit(
            kind=KIND,
            prefix="job",
            tenant=ready.tenant,
            requested_by=ORDERED_BY,
            idempotency_key=f"default-build:{ready.version_id}",
            spec=BuildSpec(
                source_version_id=ready.version_id,
                target_form=form,
                dataset_id=ready.dataset_id,
                max_accuracy_loss=DEFAULT_MAX_ACCURACY_LOSS,
            ),
        )
        log.info("ordered %s of %s as %s", form, ready.version_id, job.job_id)
