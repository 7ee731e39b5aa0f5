"""Use case: what a build would take, and whether it would be accepted; nothing is ordered."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    SizeBuildResponse,
)
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import OPTIMIZE
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.job_estimates import EarlierJobs, EstimateNote
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.earlier_jobs import (
    WorkerFit,
    has_fields_of,
    newest_like,
    summary_of,
    worker_fit,
)
from modelmill_gateway.ordering.order_job import ResolveSpecs
from modelmill_gateway.ports import Builder

LIKE = ("target_form", "objective", "load", "budget_seconds")
"""Fields of a spec that earlier builds have alike, beside the base of their source."""
NO_EARLIER = EstimateNote(
    "no_earlier_build",
    "time is not known: no such build of a version of this base has succeeded yet",
)
MANY_FORMS = EstimateNote(
    "many_forms",
    "a search builds several forms: what it makes and takes depends on what it measures",
)


@dataclass(frozen=True)
class EstimatedBuild:
    """What a build, or a search for one, would read, need and take."""

    sized: SizeBuildResponse
    built_bytes: int | None
    """None for a search, and where the weights are gone."""
    seconds: float | None
    earlier_job_ids: Sequence[str]
    """Those that time is taken from; empty where there is none."""
    worker: WorkerFit
    notes: Sequence[EstimateNote]
    """What is not known, and why."""

    @property
    def most_seconds(self) -> int | None:
        """That a search may take; None for a build."""
        return self.sized.spec.budget_seconds or None


class EstimateBuild:
    """Estimates builds by earlier ones of the same form, from versions of the same base.

    How long a form takes is known by nothing else, so without any there is no time.
    """

    def __init__(
        self, builder: Builder, resolve: ResolveSpecs, models: ModelCatalogue, jobs: JobIndex
    ) -> None:
        self._builder = builder
        self._resolve = resolve
        self._models = models
        self._jobs = jobs

    async def __call__(self, spec: BuildSpec, caller: Caller) -> EstimatedBuild:
        """Estimate it; raises what ordering it does, but for a full queue."""
        tenant = caller.tenant
        resolved = await self._resolve.build(spec, caller)
        sized = await self._builder.size_build(resolved, tenant=tenant)
        base = self._base(tenant, sized.spec.source_version_id)

        def is_like(record: JobRecord) -> bool:
            ordered = record.requested.spec
            return (
                bool(text_of(ordered, "dataset_id")) == bool(sized.spec.dataset_id)
                and has_fields_of(record, sized.spec, LIKE)
                and base == self._base(tenant, text_of(ordered, "source_version_id"))
            )

        records = newest_like(self._jobs, tenant, OPTIMIZE, is_like)
        worker = worker_fit(self._jobs, OPTIMIZE, sized.needs, sized.worker)
        return _estimate(sized, records, worker)

    def _base(self, tenant: str, version_id: str) -> str:
        """What the version was trained from; itself, where it is no training's or is gone."""
        try:
            version: ModelReady = self._models.get(tenant, version_id)
        except NotFoundError:
            return version_id
        return version.base_version_id or version_id


def _estimate(
    sized: SizeBuildResponse, records: Sequence[JobRecord], worker: WorkerFit
) -> EstimatedBuild:
    earlier = EarlierJobs(
        [each.work_seconds for each in records], [summary_of(each) for each in records]
    )
    seconds = earlier.work_seconds
    if sized.test_rows:
        seconds = earlier.seconds_for(sized.test_rows, earlier.figure("test_rows"))
    is_search = sized.spec.HasField("objective")
    built = sized.built_bytes if sized.HasField("built_bytes") else None
    if not is_search and (measured := earlier.figure("bytes")):
        built = round(measured)
    notes = [MANY_FORMS] * is_search + [NO_EARLIER] * (not records)
    ids = [each.requested.job_id for each in records]
    return EstimatedBuild(sized, built, seconds, ids, worker, notes)
