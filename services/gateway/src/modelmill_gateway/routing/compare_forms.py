"""Use case: compare the forms of a model, or the candidates of a search, by cost and quality."""

from collections.abc import Iterator, Mapping
from itertools import islice

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import OPTIMIZE
from modelmill_job_index.index import JobIndex
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.default_build import is_lossy, is_slower, is_unscored
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.access import JOBS, Caller
from modelmill_gateway.domain.form_candidates import (
    FormCandidate,
    FormComparison,
    FormRefusal,
    searched_forms,
)
from modelmill_gateway.domain.model_forms import (
    build_costs,
    build_losses,
    compared,
    load_of,
    source_costs,
)
from modelmill_gateway.routing.find_model import ADAPTER_FORM, is_build
from modelmill_gateway.routing.show_models import ShowModels

MOST_FAILED = 100
"""Failed builds that are looked at, newest first: a form that failed before them is not told."""


class CompareForms:
    """Reads only: versions by their metrics, searches by what their jobs have recorded."""

    def __init__(self, models: ShowModels, versions: ModelCatalogue, jobs: JobIndex) -> None:
        self._models = models
        self._versions = versions
        self._jobs = jobs

    async def of_model(self, caller: Caller, name: str) -> FormComparison:
        """The source of what is named, and every build of it that the caller may ask for.

        Losses on rows are those on the dataset of the newest build that was scored, and times are
        those under its load: figures of other rows or loads cannot be compared.

        Raises:
            ModelNotAllowedError, ModelNotFoundError: as for whoever asks for the model.
        """
        found = await self._models.one(caller, name)
        if isinstance(found, AliasState):
            found = self._versions.get(caller.tenant, found.version_id)
        source = self._source_of(caller, found)
        builds = [
            each
            for each in self._models.versions(caller)
            if each.parent_version_id == source.version_id and is_build(each)
        ]
        load = next(filter(None, (load_of(each.metrics) for each in builds)), {})
        dataset_id = next((each.dataset_id for each in builds if each.dataset_id), "")
        served = self._models.serving(source)
        size_bytes = self._size(caller.tenant, source)
        return compared(
            FormCandidate(
                source.form,
                source.version_id,
                source_costs((each.metrics for each in builds), size_bytes, load),
                is_chosen=served == source.version_id,
            ),
            [_candidate(each, load, dataset_id, served) for each in builds],
            # Whoever may not see jobs is not told what became of them.
            self._failed(caller.tenant, source.version_id) if JOBS in caller.scopes else (),
            load=load,
            dataset_id=dataset_id,
        )

    def of_search(self, tenant: str, job_id: str) -> FormComparison:
        """The candidates of a search, also of one that found its objective infeasible.

        Raises:
            NotFoundError: no such job, or not a search that has ended.
        """
        record = self._jobs.get(tenant, job_id)
        summary = MessageToDict(record.state.result.summary)
        if record.requested.kind != OPTIMIZE or "verdict" not in summary:
            raise NotFoundError(
                f"{job_id!r} is no search that has ended. GET /v1/models/{{model}}/forms compares"
                " the builds of a model"
            )
        spec = record.requested.spec
        return searched_forms(
            summary,
            source_version_id=text_of(spec, "source_version_id"),
            most_lost=MessageToDict(spec).get("max_accuracy_loss", 0.0),
            dataset_id=text_of(spec, "dataset_id"),
        )

    def _source_of(self, caller: Caller, version: ModelReady) -> ModelReady:
        """What a build was made of; the build itself where that is gone or not for the caller."""
        if not is_build(version) or not version.parent_version_id:
            return version
        try:
            source = self._versions.get(caller.tenant, version.parent_version_id)
        except NotFoundError:
            return version
        return source if caller.may_ask(source.version_id, source.name) else version

    def _size(self, tenant: str, source: ModelReady) -> int:
        """Bytes that a source takes; 0 where they are not known: an adapter needs its base."""
        if source.form != ADAPTER_FORM:
            return source.size_bytes
        try:
            base = self._versions.get(tenant, source.base_version_id)
        except NotFoundError:
            return 0
        return base.size_bytes and base.size_bytes + source.size_bytes

    def _failed(self, tenant: str, source_id: str) -> Iterator[tuple[str, str]]:
        jobs = self._jobs.list(tenant, OPTIMIZE, (JOB_STATUS_FAILED,))
        for record in islice(jobs, MOST_FAILED):
            spec = record.requested.spec
            form = text_of(spec, "target_form")
            if form and text_of(spec, "source_version_id") == source_id:
                yield form, record.state.error.message


def _candidate(
    build: ModelReady, load: Mapping[str, int], dataset_id: str, served: str | None
) -> FormCandidate:
    return FormCandidate(
        build.form,
        build.version_id,
        build_costs(build.metrics, build.size_bytes, load),
        build_losses(build.metrics, has_same_rows=build.dataset_id == dataset_id),
        is_chosen=served == build.version_id,
        refusal=_held_back(build),
    )


def _held_back(build: ModelReady) -> FormRefusal | None:
    """Why no name is served by a build."""
    if is_lossy(build):
        return FormRefusal("loses_too_much", "loses more than its order allowed")
    if is_slower(build):
        return FormRefusal("slower", "is slower than its source")
    if is_unscored(build):
        return FormRefusal("not_scored", "a loss that its order limits was not measured")
    return None
