"""Use case: run one evaluation job against the served models, and commit its results."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.subjects import DATASET_READY
from modelmill_inference_client.inference_models import AskedModels
from modelmill_inference_client.open_models import Ability, find_versions
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_trainer.check_evaluation_spec import WHY_NO_MODELS
from modelmill_trainer.checkpoint_retention import CheckpointRetention
from modelmill_trainer.domain.child_requests import EvaluationRequest, TaskFiles
from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.evaluation_spec import plan_of
from modelmill_trainer.model_requests import ModelRequestHandler

log = logging.getLogger(__name__)

CHILD = "modelmill_trainer.evaluating.child"
CHILD_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""One thread: arrays are small, and each BLAS thread takes part of the limited address space."""
FILE_CONTENT = "content"
"""Name of an uploaded file in its artifact."""
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class EvaluatedModel:
    """Result of an evaluation job."""

    digest: str
    summary: dict[str, Any]
    """Summary for the job record."""


@dataclass(frozen=True)
class _EvaluationInputs:
    plan: EvaluationPlan
    dataset: DatasetReady | None
    files: Mapping[str, str]
    """Digest by file id."""

    @property
    def made_from(self) -> dict[str, str]:
        """Role to digest, for the manifest."""
        dataset = {"dataset": self.dataset.digest} if self.dataset is not None else {}
        return dataset | {f"file-{n}": digest for n, digest in enumerate(self.files.values(), 1)}


class EvaluateModel:
    """Runs evaluation jobs.

    Args:
        models: None if no inference service is configured.
        at_once: Concurrent requests of one job.
        checkpoint_seconds: Interval between checkpoints.
    """

    def __init__(
        self,
        datasets: DatasetCatalogue,
        files: FileCatalogue,
        store: ArtifactStore,
        models: AskedModels | None,
        *,
        at_once: int,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self._datasets = datasets
        self._files = files
        self._store = store
        self._models = models
        self._at_once = at_once
        self._checkpoint_seconds = checkpoint_seconds

    async def __call__(self, job: ActiveJob, spec: EvaluationSpec) -> EvaluatedModel:
        """Evaluate as `spec` says.

        Raises:
            JobFailed: an input was deleted, a model cannot answer, or there are no rows.
            UnavailableError: inference is down; the job is retried later.
        """
        if self._models is None:
            raise JobFailed("NO_INFERENCE", WHY_NO_MODELS, WHY_NO_MODELS)
        inputs = await self._inputs(job.tenant, spec)
        earlier = await asyncio.to_thread(self._earlier_answers, job)
        asked = tuple(filter(None, (spec.model, spec.compare_to)))
        abilities: list[tuple[Ability, str]] = [
            ("write", name) for name in (earlier.versions or asked)
        ]
        versions = tuple(await find_versions(self._models, job, abilities))
        await job.report("download")
        with ExitStack() as held:
            request = await asyncio.to_thread(self._request, spec, inputs, earlier, asked, versions)
            for folder in _folders(request):
                held.enter_context(in_use(folder))
            done = await self._run(job, request, inputs)
        return await self._keep(Path(done["folder"]), done["summary"], inputs, versions)

    async def _keep(
        self,
        folder: Path,
        summary: dict[str, Any],
        inputs: _EvaluationInputs,
        versions: tuple[str, ...],
    ) -> EvaluatedModel:
        manifest = await asyncio.to_thread(
            self._store.commit,
            folder,
            kind="evaluation",
            form="json",
            made_from=inputs.made_from,
            attributes={"versions": list(versions)},
        )
        return EvaluatedModel(manifest.digest, summary)

    async def _run(
        self, job: ActiveJob, request: EvaluationRequest, inputs: _EvaluationInputs
    ) -> dict[str, Any]:
        """Run the child process; its checkpoints become artifacts."""
        assert self._models is not None, "checked at the start"

        kept = CheckpointRetention(
            self._store,
            job,
            form="evaluate",
            made_from=inputs.made_from,
            attributes={"versions": list(request.versions)},
        )
        return await job.run_child(
            CHILD,
            request.as_json(),
            on_checkpoint=kept.keep,
            on_saved=kept.delete_unreferenced,
            on_question=ModelRequestHandler(self._models, job.tenant, request.versions),
            env=CHILD_ENVIRONMENT,
        )

    async def _inputs(self, tenant: str, spec: EvaluationSpec) -> _EvaluationInputs:
        try:
            plan, _ = plan_of(spec)
            dataset = await self._dataset(tenant, spec)
            ids = dict.fromkeys(each for task in spec.tasks for each in task.data_file_ids)
            files = {each: await self._file_digest(tenant, each) for each in ids}
        except NotFoundError as error:
            raise JobFailed("ROWS_GONE", error.message, "Evaluate on other rows.") from error
        except InvalidInputError as error:
            raise JobFailed("BAD_SPEC", error.message, "Submit the job again.") from error
        return _EvaluationInputs(plan, dataset, files)

    async def _dataset(self, tenant: str, spec: EvaluationSpec) -> DatasetReady | None:
        if not spec.dataset_id:
            return None
        return await self._datasets.look(
            lambda: self._datasets.get(tenant, spec.dataset_id), DATASET_READY
        )

    async def _file_digest(self, tenant: str, file_id: str) -> str:
        return (await self._files.look(lambda: self._files.get(tenant, file_id))).digest

    def _request(
        self,
        spec: EvaluationSpec,
        inputs: _EvaluationInputs,
        earlier: "_EarlierAnswers",
        asked: tuple[str, ...],
        versions: tuple[str, ...],
    ) -> EvaluationRequest:
        """Materialise all inputs as local, verified folders."""
        dataset, choices = None, ()
        if inputs.dataset is not None:
            digest = inputs.dataset.digest
            choices = tuple(self._store.manifest(digest).attributes.get("choices") or ())
            dataset = self._store.materialise(digest)
        return EvaluationRequest(
            asked=asked,
            versions=versions,
            dataset_folder=dataset,
            choices=choices,
            tasks=tuple(
                TaskFiles(task.config, self._local(task.data_file_ids, inputs.files))
                for task in spec.tasks
            ),
            plan=inputs.plan,
            at_once=self._at_once,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint_folder=earlier.folder,
        )

    def _local(self, ids: Any, digests: Mapping[str, str]) -> dict[str, Path]:
        """Local paths by uploaded file name."""
        paths = {}
        for each in ids:
            name = self._store.manifest(digests[each]).attributes["filename"]
            paths[name] = self._store.materialise(digests[each]) / FILE_CONTENT
        return paths

    def _earlier_answers(self, job: ActiveJob) -> "_EarlierAnswers":
        """The checkpoint of an earlier attempt, and the versions that it evaluated."""
        if job.checkpoint is None:
            return _EarlierAnswers()
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        try:
            manifest = saved.manifest(job.checkpoint.digest)
            folder = saved.materialise(job.checkpoint.digest)
        except (CorruptArtifactError, NotFoundError):
            # Corrupt answers are requested again.
            log.exception("the checkpoint of job %s is lost; it starts anew", job.job_id)
            return _EarlierAnswers()
        return _EarlierAnswers(folder, tuple(manifest.attributes["versions"]))


@dataclass(frozen=True)
class _EarlierAnswers:
    folder: Path | None = None
    versions: tuple[str, ...] = ()
    """These are evaluated further, even if an alias has moved since."""


def _folders(request: EvaluationRequest) -> list[Path]:
    files = [path.parent for task in request.tasks for path in task.files.values()]
    given = (request.dataset_folder, request.checkpoint_folder, *files)
    return [folder for folder in given if folder is not None]
