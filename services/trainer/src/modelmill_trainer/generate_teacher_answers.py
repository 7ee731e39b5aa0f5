"""Use case: generate a teacher's answers to the dataset's rows before training (sequence-level
distillation)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TeacherAnswers
from modelmill_inference_client.inference_models import AskedModels
from modelmill_inference_client.open_models import find_versions
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.manifest import Manifest
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.check_evaluation_spec import WHY_NO_MODELS
from modelmill_trainer.checkpoint_retention import CheckpointRetention
from modelmill_trainer.choices import answer_tokens
from modelmill_trainer.domain.child_requests import TeachingRequest
from modelmill_trainer.evaluate_model import CHECKPOINT_SECONDS, CHILD_ENVIRONMENT
from modelmill_trainer.model_requests import ModelRequestHandler

CHILD = "modelmill_trainer.teaching.child"
ANSWERED, TRAINED = "teach", "train"
"""Checkpoint forms: generated answers so far, and training state."""
ROWS = "rows"
"""Role of the generated rows in a run's `made_from`."""
TEACHER_ANSWERS = "teacher_answers"
"""Manifest attribute: teacher, rows per split, and dropped rows by reason."""


class GenerateTeacherAnswers:
    """Queries the teacher through inference, once per row even if the job is interrupted.

    Args:
        models: None if no inference service is configured.
        at_once: Concurrent requests.
        checkpoint_seconds: Interval between checkpoints.
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
        """The rows with the teacher's answers as an artifact, reused from an earlier attempt if
        possible.

        Args:
            made_from: Digests of dataset and teacher.

        Raises:
            JobFailed: the teacher was retired or answers no row, or no inference is configured.
            UnavailableError: inference is down; the job is retried later.
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
            kind="teacher-answers",
            form="chat-jsonl",
            made_from=made_from,
            attributes={
                "choices": given.attributes.get("choices", []),
                TEACHER_ANSWERS: done["counts"],
            },
        )

    async def _ask(
        self,
        job: ActiveJob,
        models: AskedModels,
        request: TeachingRequest,
        made_from: Mapping[str, str],
    ) -> dict[str, Any]:
        kept = CheckpointRetention(self._store, job, form=ANSWERED, made_from=made_from)
        with in_use(request.dataset_folder):
            return await job.run_child(
                CHILD,
                request.as_json(),
                on_checkpoint=kept.keep,
                on_saved=kept.delete_unreferenced,
                on_question=ModelRequestHandler(models, job.tenant, (request.teacher_version_id,)),
                env=CHILD_ENVIRONMENT,
            )

    def _earlier(self, job: ActiveJob) -> Manifest | None:
        """The newest intact checkpoint."""
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        for checkpoint in job.checkpoints:
            try:
                saved.materialise(checkpoint.digest)
                return saved.manifest(checkpoint.digest)
            except (CorruptArtifactError, NotFoundError):
                continue  # its work is repeated
        return None
