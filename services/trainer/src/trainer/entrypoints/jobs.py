"""Jobs of kind train: unpack, run the child, file what it made."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from jobs.active import ActiveJob
from jobs.ids import derived_id
from jobs.subjects import MODEL_READY
from jobs.worker import JobFailed
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from registry.manifest import Manifest
from registry.store import ArtifactStore
from service_kit.errors import NotFoundError

from trainer.create_fine_tuning_job import KIND, Datasets, Models, decided_choices
from trainer.domain.hyper_parameters import FULL, HyperParameters
from trainer.domain.train_request import TrainRequest

CHILD = "trainer.child"


class DatasetJobs(Protocol):
    async def has_failed(self, job_id: str) -> bool:
        """Whether that job is over and made nothing."""
        ...


class TrainJobHandler:
    """Trains. Idempotent: the same job gives the same version id.

    Args:
        threads: Of the work process; 0 for one a core.
    """

    kind = KIND

    def __init__(
        self,
        models: Models,
        datasets: Datasets,
        dataset_jobs: DatasetJobs,
        store: ArtifactStore,
        *,
        threads: int,
    ) -> None:
        self._models = models
        self._datasets = datasets
        self._dataset_jobs = dataset_jobs
        self._store = store
        self._threads = threads

    async def is_ready(self, request: JobRequested) -> bool:
        """The dataset is there, or it is certain that it never will be."""
        spec = request.spec.fields
        if self._dataset_of(request.tenant, spec["dataset_id"].string_value) is not None:
            return True
        made_by = spec["dataset_job_id"].string_value
        # Without such a job the dataset was known when this one was accepted: news is on the way.
        return bool(made_by) and await self._dataset_jobs.has_failed(made_by)

    async def __call__(self, job: ActiveJob) -> JobResult:
        spec = job.spec(TrainSpec)
        dataset = self._dataset_of(job.tenant, spec.dataset_id)
        if dataset is None:
            raise JobFailed(
                "NO_DATASET",
                f"dataset {spec.dataset_id} was not made",
                f"Look at job {spec.dataset_job_id}, and train again once the dataset is there.",
            )
        base = self._base(job.tenant, spec.base_version_id)
        made_from = {"base": base.digest, "dataset": dataset.digest}
        choices = decided_choices(spec, context_tokens=base.context_tokens or None)
        request = await asyncio.to_thread(self._materialise, job, spec, base, dataset, choices)

        async def keep(folder: Path, step: int) -> str:
            saved = await asyncio.to_thread(
                self._store.commit,
                folder,
                kind="checkpoint",
                form="train",
                made_from=made_from,
                attributes={"step": step},
            )
            return saved.digest

        made = await job.run_child(CHILD, request.as_json(), on_checkpoint=keep)
        form = "safetensors" if choices.method == FULL else "adapter"
        manifest = await asyncio.to_thread(
            self._store.commit,
            Path(made["folder"]),
            kind="model",
            form=form,
            made_from=made_from,
            attributes={
                "context_tokens": base.context_tokens,
                "hyper_parameters": choices.as_json(),
            },
        )
        return _result(job, spec, base, manifest, made["summary"])

    def _dataset_of(self, tenant: str, dataset_id: str) -> DatasetReady | None:
        try:
            return self._datasets.get(tenant, dataset_id)
        except NotFoundError:
            return None

    def _base(self, tenant: str, version_id: str) -> ModelReady:
        try:
            return self._models.get(tenant, version_id)
        except NotFoundError as error:
            raise JobFailed("BASE_GONE", error.message, "Train from another base.") from error

    def _materialise(
        self,
        job: ActiveJob,
        spec: TrainSpec,
        base: ModelReady,
        dataset: DatasetReady,
        choices: HyperParameters,
    ) -> TrainRequest:
        """The request over local, verified folders."""
        checkpoint = job.checkpoint
        answers = self._store.manifest(dataset.digest).attributes.get("choices", ())
        return TrainRequest(
            base_folder=self._store.materialise(base.digest),
            base_version_id=base.version_id,
            context_tokens=base.context_tokens,
            dataset_folder=self._store.materialise(dataset.digest),
            checkpoint_folder=self._store.materialise(checkpoint.digest) if checkpoint else None,
            choices=tuple(answers) if spec.evaluate else (),
            hyper_parameters=choices,
            threads=self._threads,
        )


def _result(
    job: ActiveJob,
    spec: TrainSpec,
    base: ModelReady,
    manifest: Manifest,
    summary: Mapping[str, Any],
) -> JobResult:
    ready = ModelReady(
        version_id=derived_id("mv", job.job_id, manifest.form),
        tenant=job.tenant,
        name=spec.name,
        form=manifest.form,
        digest=manifest.digest,
        parent_version_id=base.version_id,
        base_version_id=base.base_version_id or base.version_id,
        job_id=job.job_id,
        dataset_id=spec.dataset_id,
        size_bytes=manifest.size_bytes,
        context_tokens=base.context_tokens,
        metrics=_metrics(summary),
    )
    ready.created_at.GetCurrentTime()
    return JobResult(
        digest=manifest.digest,
        version_id=ready.version_id,
        announce_subject=MODEL_READY,
        announcement=ParseDict(MessageToDict(ready), Struct()),
        summary=ParseDict(dict(summary), Struct()),
    )


def _metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers of a summary, and the mean of each interval."""
    metrics = {
        name: float(value) for name, value in summary.items() if isinstance(value, int | float)
    }
    for name in ("accuracy_base", "accuracy_tuned"):
        if name in summary:
            metrics[name] = summary[name]["mean"]
    return metrics
