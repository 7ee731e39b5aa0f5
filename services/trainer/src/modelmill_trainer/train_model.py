"""Use case: run one training job from artifacts to an artifact."""

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
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.manifest import Manifest
from modelmill_registry.materialised import in_use
from modelmill_registry.model_card import CardFacts, licence_of
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.choices import limits_of
from modelmill_trainer.domain.cluster import Cluster
from modelmill_trainer.domain.limits import Price
from modelmill_trainer.domain.methods import FULL
from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.earlier_adapters import Models
from modelmill_trainer.find_ingredients import FindIngredients, JobStates
from modelmill_trainer.ingredients import Ingredients
from modelmill_trainer.kept_checkpoints import KeptCheckpoints
from modelmill_trainer.metrics import measure_step
from modelmill_trainer.named_datasets import Datasets
from modelmill_trainer.reporting.write_report import write_report
from modelmill_trainer.teach_rows import TOLD, TRAINED, TeachRows
from modelmill_trainer.tracking.tracker import Ending, RunFacts, TrackedRun, Tracker, tracked_run


def announcement_of(
    job: ActiveJob,
    spec: TrainSpec,
    ingredients: Ingredients,
    manifest: Manifest,
    summary: Mapping[str, Any],
) -> ModelReady:
    """What is said of a model that was made of these."""
    base = ingredients.base
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
        context_tokens=ingredients.context_tokens,
        metrics=figures_of(summary),
        created_at=now,
        method=ingredients.choices.method,
    )


def name_of(spec: TrainSpec, base: ModelReady) -> str:
    """What people call the new model."""
    return spec.name or f"{base.name}-tuned"


def figures_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of the summary that are one number each, an accuracy by its mean."""
    metrics = {
        name: float(value["mean"] if isinstance(value, dict) else value)
        for name, value in summary.items()
        if isinstance(value, int | float) or (isinstance(value, dict) and "mean" in value)
    }
    if "accuracy_tuned" in metrics:
        metrics["accuracy"] = metrics["accuracy_tuned"]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


log = logging.getLogger(__name__)

CHILD = "modelmill_trainer.child"
CHILD_ENVIRONMENT = {
    # Everything is in local folders: a library that asks a hub has misunderstood.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Bars that redraw themselves would push the last words of a crash out of the log.
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class TunedModel:
    """What a job made."""

    ready: ModelReady
    """To be announced."""
    summary: dict[str, Any]
    """Figures for people."""


class TrainModel:
    """Trains. Idempotent: another attempt of a job gives the same version id.

    Args:
        threads: Of the training process; 0 for one a core.
        cluster: Where the ranks of divided runs are; None for this machine.
        price: Of the machine.
        seconds_between_interruptions: The mean that is expected.
        trackers: Where runs are shown as well; none of them is waited for.
    """

    def __init__(
        self,
        models: Models,
        datasets: Datasets,
        jobs: JobStates,
        store: ArtifactStore,
        *,
        threads: int,
        price: Price,
        seconds_between_interruptions: float,
        teach_rows: TeachRows,
        trackers: Sequence[Tracker] = (),
        cluster: Cluster | None = None,
    ) -> None:
        self._find = FindIngredients(models, datasets, jobs)
        self._store = store
        self._threads = threads
        self._cluster = cluster
        self._price = price
        self._seconds_between_interruptions = seconds_between_interruptions
        self._trackers = trackers
        self._teach_rows = teach_rows

    async def can_begin(self, tenant: str, spec: TrainSpec) -> bool:
        """False while the dataset is still being made."""
        return await self._find.can_begin(tenant, spec)

    async def __call__(self, job: ActiveJob, spec: TrainSpec) -> TunedModel:
        """Train as `spec` says.

        Raises:
            JobFailed: the dataset was never made, something is gone, or the rows or choices do not
                allow it.
        """
        ingredients = await self._taught(job, spec, await self._find(job.tenant, spec))
        await job.report("download")
        request = await asyncio.to_thread(self._request, job, spec, ingredients)
        async with tracked_run(self._trackers, _facts_of(job, spec, ingredients)) as run:
            with in_use(*request.folders):
                done = await self._run(job, request, ingredients, run)
                licence = await asyncio.to_thread(licence_of, request.base_folder)
            summary = done["summary"] | _told(spec, ingredients)
            done["summary"] = summary
            manifest = await asyncio.to_thread(self._commit, spec, ingredients, done, licence)
            await run.finish(Ending("finished", figures_of(summary), manifest.digest))
        ready = announcement_of(job, spec, ingredients, manifest, summary)
        warnings = {"warnings": run.warnings} if run.warnings else {}
        return TunedModel(ready, summary | warnings)

    async def _taught(
        self, job: ActiveJob, spec: TrainSpec, ingredients: Ingredients
    ) -> Ingredients:
        if not spec.HasField("teacher_answers"):
            return ingredients
        rows = await self._teach_rows(
            *(job, ingredients.dataset, spec.teacher_version_id, spec.teacher_answers),
            {role: ingredients.made_from[role] for role in ("dataset", "teacher")},
            ingredients.choices.seed,
        )
        return replace(ingredients, rows=rows)

    def _commit(
        self, spec: TrainSpec, ingredients: Ingredients, done: Mapping[str, Any], licence: str
    ) -> Manifest:
        """Add curves and card to what the work process has made, and store it."""
        folder = Path(done["folder"])
        form = "safetensors" if ingredients.choices.method == FULL else "adapter"
        attributes = self._attributes(ingredients) | {
            name: done[name] for name in ("hyper_parameters", "parity")
        }
        dataset = ingredients.dataset
        facts = CardFacts(
            name=name_of(spec, ingredients.base),
            form=form,
            base_name=ingredients.base.name,
            licence=licence,
            made_from=ingredients.made_from,
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
            made_from=ingredients.made_from,
            attributes=attributes,
        )

    async def _run(
        self, job: ActiveJob, request: TrainRequest, ingredients: Ingredients, run: TrackedRun
    ) -> dict[str, Any]:
        """What the work process answers; its checkpoints become artifacts on the way."""

        kept = KeptCheckpoints(self._store, job, form=TRAINED, made_from=ingredients.made_from)

        def take(report: Report) -> None:
            measure_step(report)
            run.take(report)

        environment = CHILD_ENVIRONMENT
        if self._threads:
            environment = environment | {"OMP_NUM_THREADS": str(self._threads)}
        return await job.run_child(
            CHILD,
            request.as_json(),
            on_checkpoint=kept.keep,
            on_saved=kept.let_go,
            on_progress=take,
            env=environment,
        )

    def _request(self, job: ActiveJob, spec: TrainSpec, ingredients: Ingredients) -> TrainRequest:
        """Everything as local, verified folders."""
        dataset = ingredients.rows or self._store.manifest(ingredients.dataset.digest)
        choices = dataset.attributes.get("choices", ()) if spec.evaluate else ()
        teacher, adapter = ingredients.loaded_teacher, ingredients.adapter
        validation = ingredients.validation
        return TrainRequest(
            base_folder=self._store.materialise(ingredients.base.digest),
            base_version_id=ingredients.base.version_id,
            context_tokens=ingredients.base.context_tokens,
            dataset_folder=self._store.materialise(dataset.digest),
            checkpoint_folder=self._checkpoint_folder(job),
            choices=tuple(choices),
            hyper_parameters=ingredients.choices,
            threads=self._threads,
            distribution=ingredients.distribution,
            cluster=self._cluster_for(ingredients),
            teacher_folder=self._store.materialise(teacher.digest) if teacher else None,
            adapter_folder=self._store.materialise(adapter.digest) if adapter else None,
            validation_folder=self._store.materialise(validation.digest) if validation else None,
            limits=limits_of(spec),
            price=self._price,
            seconds_between_interruptions=self._seconds_between_interruptions,
        )

    def _cluster_for(self, ingredients: Ingredients) -> Cluster | None:
        if self._cluster is None or ingredients.distribution is None:
            return None
        return replace(self._cluster, rank_memory_bytes=ingredients.needs.memory_bytes)

    def _checkpoint_folder(self, job: ActiveJob) -> Path | None:
        saved = JobCheckpoints(self._store, job.job_id, job.fence)
        for checkpoint in job.checkpoints:
            try:
                if saved.manifest(checkpoint.digest).form != TRAINED:
                    continue  # answers of a teacher, from before the run
                folder = saved.materialise(checkpoint.digest)
                log.info("job %s goes on from checkpoint %d", job.job_id, checkpoint.step)
                return folder
            except (CorruptArtifactError, NotFoundError):
                # A state that is not what was saved is never loaded; steps are lost, not the job.
                log.exception("checkpoint %d of job %s is lost", checkpoint.step, job.job_id)
        return None

    def _attributes(self, ingredients: Ingredients) -> dict[str, Any]:
        attributes: dict[str, Any] = {"context_tokens": ingredients.context_tokens}
        if ingredients.distribution is not None:
            attributes["distribution"] = ingredients.distribution.as_json()
        if ingredients.choices.method == FULL:
            base = self._store.manifest(ingredients.base.digest)
            attributes["architecture"] = base.attributes.get("architecture", "")
        return attributes


def _told(spec: TrainSpec, ingredients: Ingredients) -> dict[str, Any]:
    """What the parent adds to a run's summary."""
    told: dict[str, Any] = {"estimated_memory_bytes": ingredients.needs.memory_bytes}
    if ingredients.rows is not None:
        told[TOLD] = ingredients.rows.attributes[TOLD]
    return told | ({"method_reason": spec.method_reason} if spec.method_reason else {})


def _facts_of(job: ActiveJob, spec: TrainSpec, ingredients: Ingredients) -> RunFacts:
    return RunFacts(
        *(job.job_id, job.tenant, name_of(spec, ingredients.base), job.attempt),
        choices=ingredients.choices.as_shown(),
        made_from=ingredients.made_from,
    )
