"""Which form a tuned version is served in: decided once, when its default build ends.

The build where it passed its checks and is not slower than its source, otherwise the source. What
ends later, such as a build that is ordered or a failed one that is resumed, changes nothing.
"""

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_job_index.history import STATE
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.default_build import default_build_of, is_slower
from modelmill_service_kit.errors import NotFoundError

ENDED = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)


class DefaultBuilds:
    """Remembers what was decided: it is asked for with each request for a name."""

    def __init__(self, catalogue: ModelCatalogue, jobs: JobIndex) -> None:
        self._catalogue = catalogue
        self._jobs = jobs
        self._stands: dict[str, bool] = {}
        """Whether the build of a version is served; only of those that are decided."""

    def served_form(self, version: ModelReady) -> ModelReady | None:
        """The version itself or its default build; None while that is undecided."""
        order = default_build_of(version)
        if order is None:
            return version
        build = self._build(version.tenant, order.version_id)
        stands = self._stands.get(version.version_id)
        if stands is None:
            stands = self._decide(version, order.job_id, build)
        if stands is None:
            return None
        # A build that was deleted leaves its source.
        return build if stands and build is not None else version

    def job_of(self, version: ModelReady) -> str:
        """The job whose end is waited for."""
        order = default_build_of(version)
        return "" if order is None else order.job_id

    def _decide(self, version: ModelReady, job_id: str, build: ModelReady | None) -> bool | None:
        try:
            ended = _first_end(self._jobs.get(version.tenant, job_id))
        except NotFoundError:
            # Not ordered yet, or forgotten long ago: then only the build can tell.
            ended = None if build is None else JOB_STATUS_SUCCEEDED
        if ended is None:
            return None
        stands = ended == JOB_STATUS_SUCCEEDED and build is not None and not is_slower(build)
        self._stands[version.version_id] = stands
        return stands

    def _build(self, tenant: str, version_id: str) -> ModelReady | None:
        try:
            return self._catalogue.get(tenant, version_id)
        except NotFoundError:
            return None


def _first_end(record: JobRecord) -> int | None:
    """How a job ended first; None when it has not."""
    states = (event.body for event in record.events if event.type == STATE)
    return next(
        (it.status for it in states if isinstance(it, JobState) and it.status in ENDED), None
    )
