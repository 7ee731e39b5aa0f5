"""Use case: run one evaluation from artifacts to an artifact, asking the models that serve."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_inference_client.asked_models import AskedModels
from modelmill_inference_client.open_models import Ability, find_versions
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_trainer.ask_models import OpenModels
from modelmill_trainer.create_evaluation_job import WHY_NO_MODELS, Files
from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.domain.evaluation_request import EvaluationRequest, TaskFiles
from modelmill_trainer.evaluation_spec import plan_of
from modelmill_trainer.kept_checkpoints import KeptCheckpoints
from modelmill_trainer.named_datasets import Datasets
from modelmill_trainer.retry_until_known import soon

log = logging.getLogger(__name__)

CHILD = "modelmill_trainer.evaluating.child"
CHILD_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Its sums are small, and its address space is bounded, of which each thread takes a part."""
FILE_CONTENT = "content"
"""Name of an uploaded file in its artifact."""
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class EvaluatedModel:
    """What a job found."""

    digest: str
    summary: dict[str, Any]
    """Figures for people."""


@dataclass(frozen=True)
class _Ingredients:
    plan: EvaluationPlan
    dataset: DatasetReady | None
    files: Mapping[str, str]
    """Digests by id."""

    @property
    def made_from(self) -> dict[str, str]:
        """Role to digest, for the manifest."""
        dataset = {"dataset": self.dataset.digest} if self.dataset is not None else {}
        return dataset | {f"file-{n}": digest for n, digest in enumerate(self.files.values(), 1)}


class EvaluateModel:
    """Evaluates.

    Args:
        models: None where no inference service is known.
        at_once: Questions of one job that are open at any time.
        checkpoint_seconds: Between two savings of answers.
    """

    def __init__(
        self,
        datasets: Datasets,
        files: Files,
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
            JobFailed: something is gone, a model cannot be asked, or there is nothing to ask.
            UnavailableError: inference does not answer: the job shall wait.
        """
        if self._models is None:
            raise JobFailed("NO_INFERENCE", WHY_NO_MODELS, WHY_NO_MODELS)
        ingredients = await self._ingredients(job.tenant, spec)
        answered = await asyncio.to_thread(self._answered, job)
        asked = tuple(filter(None, (spec.model, spec.compare_to)))
        abilities: list[tuple[Ability, str]] = [
            ("write", name) for name in (answered.versions or asked)
        ]
        versions = tuple(await find_versions(self._models, job, abilities))
        await job.report("download")
        with ExitStack() as held:
            request = await asyncio.to_thread(
                self._request, spec, ingredients, answered, asked, versions
            )
            for folder in _folders(request):
                held.enter_context(in_use(folder))
            done = await self._run(job, request, ingredients)
        return await self._keep(Path(done["folder"]), done["summary"], ingredients, versions)

    async def _keep(
        self,
        folder: Path,
        summary: dict[str, Any],
        ingredients: _Ingredients,
        versions: tuple[str, ...],
    ) -> EvaluatedModel:
        manifest = await asyncio.to_thread(
            self._store.commit,
            folder,
            kind="evaluation",
            form="json",
            made_from=ingredients.made_from,
            attributes={"versions": list(versions)},
        )
        return EvaluatedModel(manifest.digest, summary)

    async def _run(
        self, job: ActiveJob, request: EvaluationRequest, ingredients: _Ingredients
    ) -> dict[str, Any]:
        """What the work process answers; answers become artifacts on the way."""
        assert self._models is not None, "checked at the start"

        kept = KeptCheckpoints(
            *(self._store, job),
            form="evaluate",
            made_from=ingredients.made_from,
            attributes={"versions": list(request.versions)},
        )
        return await job.run_child(
            CHILD,
            request.as_json(),
            on_checkpoint=kept.keep,
            on_saved=kept.let_go,
            on_question=OpenModels(self._models, job.tenant, request.versions),
            env=CHILD_ENVIRONMENT,
        )

    async def _ingredients(self, tenant: str, spec: EvaluationSpec) -> _Ingredients:
        try:
            plan, _ = plan_of(spec)
            dataset = await self._dataset(tenant, spec)
            ids = dict.fromkeys(each for task in spec.tasks for each in task.data_file_ids)
            files = {each: await self._file_digest(tenant, each) for each in ids}
        except NotFoundError as error:
            raise JobFailed("ROWS_GONE", error.message, "Evaluate on other rows.") from error
        except InvalidInputError as error:
            raise JobFailed("BAD_SPEC", error.message, "Submit the job again.") from error
        return _Ingredients(plan, dataset, files)

    async def _dataset(self, tenant: str, spec: EvaluationSpec) -> DatasetReady | None:
        if not spec.dataset_id:
            return None
        find = self._datasets.get
        return await soon(lambda: find(tenant, spec.dataset_id, include_retired=True))

    async def _file_digest(self, tenant: str, file_id: str) -> str:
        find = self._files.get
        return (await soon(lambda: find(tenant, file_id, include_deleted=True))).digest

    def _request(
        self,
        spec: EvaluationSpec,
        ingredients: _Ingredients,
        answered: "_Answered",
        asked: tuple[str, ...],
        versions: tuple[str, ...],
    ) -> EvaluationRequest:
        """Everything as local, verified folders."""
        dataset, choices = None, ()
        if ingredients.dataset is not None:
            digest = ingredients.dataset.digest
            choices = tuple(self._store.manifest(digest).attributes.get("choices") or ())
            dataset = self._store.materialise(digest)
        return EvaluationRequest(
            asked=asked,
            versions=versions,
            dataset_folder=dataset,
            choices=choices,
            tasks=tuple(
                TaskFiles(task.config, self._local(task.data_file_ids, ingredients.files))
                for task in spec.tasks
            ),
            plan=ingredients.plan,
            at_once=self._at_once,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint_folder=answered.folder,
        )

    def _local(self, ids: Any, digests: Mapping[str, str]) -> dict[str, Path]:
        """Files by the names that they were uploaded under."""
        paths = {}
        for each in ids:
            name = self._store.manifest(digests[each]).attributes["filename"]
            paths[name] = self._store.materialise(digests[each]) / FILE_CONTENT
        return paths

    def _answered(self, job: ActiveJob) -> "_Answered":
        """What an earlier attempt left, and of which versions it is."""
        if job.checkpoint is None:
            return _Answered()
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        try:
            manifest = saved.manifest(job.checkpoint.digest)
            folder = saved.materialise(job.checkpoint.digest)
        except (CorruptArtifactError, NotFoundError):
            # Answers that are not what was saved are asked for again, not believed.
            log.exception("the checkpoint of job %s is lost; it starts anew", job.job_id)
            return _Answered()
        return _Answered(folder, tuple(manifest.attributes["versions"]))


@dataclass(frozen=True)
class _Answered:
    folder: Path | None = None
    versions: tuple[str, ...] = ()
    """Which are asked on, though an alias has moved since."""


def _folders(request: EvaluationRequest) -> list[Path]:
    files = [path.parent for task in request.tasks for path in task.files.values()]
    given = (request.dataset_folder, request.checkpoint_folder, *files)
    return [folder for folder in given if folder is not None]
