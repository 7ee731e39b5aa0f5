"""Use case: before a run, let the teacher, as inference serves it, answer the dataset's rows."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TeacherAnswers
from modelmill_inference_client.asked_models import AskedModels
from modelmill_inference_client.open_models import find_versions
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.manifest import Manifest
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.ask_models import OpenModels
from modelmill_trainer.create_evaluation_job import WHY_NO_MODELS
from modelmill_trainer.evaluate_model import CHECKPOINT_SECONDS, CHILD_ENVIRONMENT
from modelmill_trainer.kept_checkpoints import KeptCheckpoints
from modelmill_trainer.teaching.asked import answer_tokens
from modelmill_trainer.teaching.request import TeachingRequest

CHILD = "modelmill_trainer.teaching.child"
ANSWERED, TRAINED = "teach", "train"
"""Forms of checkpoints: answers so far, and a run over the rows that they became."""
ROWS = "rows"
"""Their role in what a run is made from."""
TOLD = "teacher_answers"
"""Attribute of the rows: who answered, how many are kept, and why others are not."""


class TeachRows:
    """Asks a teacher, once for each row whatever interrupts the job.

    Args:
        models: None where no inference service is known.
        at_once: Questions that are open at any time.
        checkpoint_seconds: Between two savings of answers.
    """

    def __init__(
        self,
        store: ArtifactStore,
        models: AskedModels | None,
        *,
        at_once: int,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self._store = store
        self._models = models
        self._at_once = at_once
        self._checkpoint_seconds = checkpoint_seconds

    async def __call__(
        self,
        job: ActiveJob,
        dataset: DatasetReady,
        teacher_version_id: str,
        asked: TeacherAnswers,
        made_from: Mapping[str, str],
        seed: int,
    ) -> Manifest:
        """The rows as an artifact: those of an earlier attempt, or new ones.

        Args:
            made_from: Of the rows: dataset and teacher.

        Raises:
            JobFailed: the teacher is gone, cannot answer, or says nothing; or nobody can be asked.
            UnavailableError: inference does not answer: the job shall wait.
        """
        earlier = await asyncio.to_thread(self._earlier, job)
        if earlier is not None and earlier.form == TRAINED:
            return await asyncio.to_thread(self._store.manifest, earlier.made_from[ROWS])
        if self._models is None:
            raise JobFailed("NO_INFERENCE", WHY_NO_MODELS, WHY_NO_MODELS)
        await find_versions(self._models, job, [("write", teacher_version_id)])
        request = await asyncio.to_thread(
            self._request, job, dataset, earlier, teacher_version_id, asked, seed
        )
        done = await self._ask(job, self._models, request, made_from)
        return await asyncio.to_thread(self._keep, done, dataset, made_from)

    def _request(
        self,
        job: ActiveJob,
        dataset: DatasetReady,
        earlier: Manifest | None,
        teacher_version_id: str,
        asked: TeacherAnswers,
        seed: int,
    ) -> TeachingRequest:
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        return TeachingRequest(
            dataset_folder=self._store.materialise(dataset.digest),
            teacher_version_id=teacher_version_id,
            max_new_tokens=answer_tokens(asked),
            temperature=asked.temperature,
            seed=seed,
            at_once=self._at_once,
            checkpoint_seconds=self._checkpoint_seconds,
            checkpoint_folder=saved.materialise(earlier.digest) if earlier else None,
        )

    def _keep(
        self, done: Mapping[str, Any], dataset: DatasetReady, made_from: Mapping[str, str]
    ) -> Manifest:
        given = self._store.manifest(dataset.digest)
        return self._store.commit(
            Path(done["folder"]),
            kind="dataset",
            form="chat-jsonl",
            made_from=made_from,
            attributes={"choices": given.attributes.get("choices", []), TOLD: done["told"]},
        )

    async def _ask(
        self,
        job: ActiveJob,
        models: AskedModels,
        request: TeachingRequest,
        made_from: Mapping[str, str],
    ) -> dict[str, Any]:
        kept = KeptCheckpoints(self._store, job, form=ANSWERED, made_from=made_from)
        with in_use(request.dataset_folder):
            return await job.run_child(
                CHILD,
                request.as_json(),
                on_checkpoint=kept.keep,
                on_saved=kept.let_go,
                on_question=OpenModels(models, job.tenant, (request.teacher_version_id,)),
                env=CHILD_ENVIRONMENT,
            )

    def _earlier(self, job: ActiveJob) -> Manifest | None:
        """The newest checkpoint that is whole."""
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        for checkpoint in job.checkpoints:
            try:
                saved.materialise(checkpoint.digest)
                return saved.manifest(checkpoint.digest)
            except (CorruptArtifactError, NotFoundError):
                continue  # what it had is computed again
        return None
