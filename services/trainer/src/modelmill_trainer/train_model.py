"""Use case: run one training job, from input artifacts to the committed model artifact."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import version_id_of
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.progress import Report
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.manifest import Manifest, origin_of
from modelmill_registry.materialised import in_use
from modelmill_registry.model_card import CardFacts, licence_of
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.checkpoint_retention import CheckpointRetention
from modelmill_trainer.choices import limits_of
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.domain.limits import MachinePrice
from modelmill_trainer.domain.methods import FULL
from modelmill_trainer.domain.recovery import PRUNED, assess_recovery
from modelmill_trainer.find_training_inputs import FindTrainingInputs, TrainingInputs
from modelmill_trainer.generate_teacher_answers import (
    TEACHER_ANSWERS,
    TRAINED,
    GenerateTeacherAnswers,
)
from modelmill_trainer.metrics import measure_step
from modelmill_trainer.run_report import write_report
from modelmill_trainer.stored_records import JobReader
from modelmill_trainer.tracking.tracker import (
    RunEnd,
    TrackedRun,
    TrackedRunInfo,
    Tracker,
    tracked_run,
)

log = logging.getLogger(__name__)
CHILD = "modelmill_trainer.child"
CHILD_ENVIRONMENT = {
    # All inputs are local folders; an access to the Hugging Face Hub would be a bug.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Progress bars would push a crash's last lines out of the log tail.
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def announcement_of(
    job: ActiveJob,
    spec: TrainSpec,
    inputs: TrainingInputs,
    manifest: Manifest,
    summary: Mapping[str, Any],
) -> ModelReady:
    """Build the message from a job's inputs, its artifact and its summary."""
    base = inputs.base
    now = Timestamp()
    now.GetCurrentTime()
    return ModelReady(
        version_id=version_id_of(job.job_id, manifest.form),
        tenant=job.tenant,
        name=name_of(spec, base),
        form=manifest.form,
        digest=manifest.digest,
        parent_version_id=base.version_id,
        base_version_id=base.base_version_id or base.version_id,
        job_id=job.job_id,
        dataset_id=spec.dataset_id,
        size_bytes=manifest.size_bytes,
        context_tokens=inputs.context_tokens,
        metrics=figures_of(summary),
        created_at=now,
        method=inputs.choices.method,
    )


def name_of(spec: TrainSpec, base: ModelReady) -> str:
    """Display name of the trained model."""
    return spec.name or f"{base.name}-tuned"


def figures_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Scalar metrics of a summary; an accuracy is represented by its mean."""
    metrics = {
        name: float(value["mean"] if isinstance(value, dict) else value)
        for name, value in summary.items()
        if isinstance(value, int | float) or (isinstance(value, dict) and "mean" in value)
    }
    if "accuracy_tuned" in metrics:
        metrics["accuracy"] = metrics["accuracy_tuned"]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


@dataclass(frozen=True)
class TunedModel:
    """Result of a training job."""

    ready: ModelReady
    """Announcement of the new version."""
    summary: dict[str, Any]
    """Summary for the job record."""


class TrainModel:
    """Runs training jobs. Idempotent: every attempt of a job yields the same version id.

    Args:
        threads: torch threads of the child process; 0 for one per core.
        cluster: Kubernetes cluster for ranks; None for this machine.
        price: Price of the machine.
        seconds_between_interruptions: Expected mean time between failures.
        trackers: Experiment trackers; training does not wait for them.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        datasets: DatasetCatalogue,
        jobs: JobReader,
        store: ArtifactStore,
        *,
        threads: int,
        price: MachinePrice,
        seconds_between_interruptions: float,
        generate_teacher_answers: GenerateTeacherAnswers,
        trackers: Sequence[Tracker] = (),
        cluster: KubernetesCluster | None = None,
    ) -> None:
        self._find = FindTrainingInputs(models, datasets, jobs)
        self._store = store
        self._threads = threads
        self._cluster = cluster
        self._price = price
        self._seconds_between_interruptions = seconds_between_interruptions
        self._trackers = trackers
        self._generate_teacher_answers = generate_teacher_answers

    async def can_begin(self, tenant: str, spec: TrainSpec) -> bool:
        """False while a dataset job is still running."""
        return await self._find.can_begin(tenant, spec)

    async def __call__(self, job: ActiveJob, spec: TrainSpec) -> TunedModel:
        """Train as `spec` says.

        Raises:
            JobFailed: an input is missing, or rows or hyper-parameters are invalid.
        """
        inputs = await self._with_teacher_answers(job, spec, await self._find(job.tenant, spec))
        await job.report("download")
        request = await asyncio.to_thread(self._request, job, spec, inputs)
        async with tracked_run(self._trackers, _facts_of(job, spec, inputs)) as run:
            with in_use(*request.folders):
                done = await self._run(job, request, inputs, run)
                licence = await asyncio.to_thread(licence_of, request.base_folder)
            summary = done["summary"] | _parent_summary(spec, inputs)
            summary |= _recovery(inputs, summary)
            done["summary"] = summary
            manifest = await asyncio.to_thread(self._commit, spec, inputs, done, licence)
            await run.finish(RunEnd("finished", figures_of(summary), manifest.digest))
        ready = announcement_of(job, spec, inputs, manifest, summary)
        warnings = {"warnings": run.warnings} if run.warnings else {}
        return TunedModel(ready, summary | warnings)

    async def _with_teacher_answers(
        self, job: ActiveJob, spec: TrainSpec, inputs: TrainingInputs
    ) -> TrainingInputs:
        if not spec.HasField("teacher_answers"):
            return inputs
        rows = await self._generate_teacher_answers(
            job,
            inputs.dataset,
            spec.teacher_version_id,
            spec.teacher_answers,
            {role: inputs.made_from[role] for role in ("dataset", "teacher")},
            inputs.choices.seed,
        )
        return replace(inputs, rows=rows)

    def _commit(
        self, spec: TrainSpec, inputs: TrainingInputs, done: Mapping[str, Any], licence: str
    ) -> Manifest:
        """Add curves and model card to the child's folder, and commit it."""
        folder = Path(done["folder"])
        form = "safetensors" if inputs.choices.method == FULL else "adapter"
        attributes = self._attributes(inputs) | {
            name: done[name] for name in ("hyper_parameters", "parity")
        }
        dataset = inputs.dataset
        origin = origin_of(self._store, inputs.base.digest)
        facts = CardFacts(
            name=name_of(spec, inputs.base),
            form=form,
            base_name=inputs.base.name,
            licence=licence or origin.get("licence", ""),
            origin=origin,
            made_from=inputs.made_from,
            attributes=attributes,
            figures=done["summary"],
            dataset=dataset.name or dataset.dataset_id,
            counts=dict(dataset.counts),
        )
        write_report(folder, facts)
        return self._store.commit(
            folder,
            kind="model",
            form=form,
            made_from=inputs.made_from,
            attributes=attributes,
        )

    async def _run(
        self, job: ActiveJob, request: TrainRequest, inputs: TrainingInputs, run: TrackedRun
    ) -> dict[str, Any]:
        """Run the child process; its checkpoints become artifacts."""

        kept = CheckpointRetention(self._store, job, form=TRAINED, made_from=inputs.made_from)

        def on_progress(report: Report) -> None:
            measure_step(report)
            run.add(report)

        environment = CHILD_ENVIRONMENT
        if self._threads:
            environment = environment | {"OMP_NUM_THREADS": str(self._threads)}
        return await job.run_child(
            CHILD,
            request.as_json(),
            on_checkpoint=kept.keep,
            on_saved=kept.delete_unreferenced,
            on_progress=on_progress,
            env=environment,
        )

    def _request(self, job: ActiveJob, spec: TrainSpec, inputs: TrainingInputs) -> TrainRequest:
        """Materialise all inputs as local, verified folders."""
        dataset = inputs.rows or self._store.manifest(inputs.dataset.digest)
        choices = dataset.attributes.get("choices", ()) if spec.evaluate else ()
        named, adapter = inputs.loaded_teacher, inputs.adapter
        teacher = inputs.teacher_base or named
        adapted = named if inputs.teacher_base else None
        validation = inputs.validation
        return TrainRequest(
            base_folder=self._store.materialise(inputs.base.digest),
            base_version_id=inputs.base.version_id,
            context_tokens=inputs.base.context_tokens,
            dataset_folder=self._store.materialise(dataset.digest),
            checkpoint_folder=self._checkpoint_folder(job),
            choices=tuple(choices),
            hyper_parameters=inputs.choices,
            threads=self._threads,
            distribution=inputs.distribution,
            cluster=self._cluster_for(inputs),
            teacher_folder=self._store.materialise(teacher.digest) if teacher else None,
            teacher_adapter_folder=self._store.materialise(adapted.digest) if adapted else None,
            adapter_folder=self._store.materialise(adapter.digest) if adapter else None,
            validation_folder=self._store.materialise(validation.digest) if validation else None,
            limits=limits_of(spec),
            price=self._price,
            seconds_between_interruptions=self._seconds_between_interruptions,
        )

    def _cluster_for(self, inputs: TrainingInputs) -> KubernetesCluster | None:
        if self._cluster is None or inputs.distribution is None:
            return None
        return replace(self._cluster, rank_memory_bytes=inputs.needs.memory_bytes)

    def _checkpoint_folder(self, job: ActiveJob) -> Path | None:
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        for checkpoint in job.checkpoints:
            try:
                if saved.manifest(checkpoint.digest).form != TRAINED:
                    continue  # a checkpoint of teacher answers
                folder = saved.materialise(checkpoint.digest)
                log.info("job %s resumes from checkpoint %d", job.job_id, checkpoint.step)
                return folder
            except (CorruptArtifactError, NotFoundError):
                # A corrupt checkpoint costs steps, not the job: the one before it is used.
                log.exception("checkpoint %d of job %s is lost", checkpoint.step, job.job_id)
        return None

    def _attributes(self, inputs: TrainingInputs) -> dict[str, Any]:
        attributes: dict[str, Any] = {"context_tokens": inputs.context_tokens}
        if inputs.distribution is not None:
            attributes["distribution"] = inputs.distribution.as_json()
        if inputs.choices.method == FULL:
            base = self._store.manifest(inputs.base.digest)
            attributes["architecture"] = base.attributes.get("architecture", "")
        return attributes


def _parent_summary(spec: TrainSpec, inputs: TrainingInputs) -> dict[str, Any]:
    """Entries that the parent adds to a run's summary."""
    summary: dict[str, Any] = {"estimated_memory_bytes": inputs.needs.memory_bytes}
    if inputs.rows is not None:
        summary[TEACHER_ANSWERS] = inputs.rows.attributes[TEACHER_ANSWERS]
    return summary | ({"method_reason": spec.method_reason} if spec.method_reason else {})


def _recovery(inputs: TrainingInputs, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a pruned base was given back what it lost, beside the model that it was cut from."""
    if inputs.base.method != PRUNED:
        return {}
    differences, teacher = summary["differences"], inputs.loaded_teacher
    is_source = teacher is not None and teacher.version_id == inputs.base.parent_version_id
    left = differences.get("tuned-teacher") if is_source else None
    found = assess_recovery(differences.get("tuned-base"), left)
    return {"recovery": found} if found else {}


def _facts_of(job: ActiveJob, spec: TrainSpec, inputs: TrainingInputs) -> TrackedRunInfo:
    return TrackedRunInfo(
        job_id=job.job_id,
        tenant=job.tenant,
        name=name_of(spec, inputs.base),
        attempt=job.attempt,
        choices=inputs.choices.as_shown(),
        made_from=inputs.made_from,
    )
