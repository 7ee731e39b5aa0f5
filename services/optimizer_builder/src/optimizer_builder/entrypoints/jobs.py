"""Jobs of kind optimize: unpack, run the child, file what it made."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from jobs.active import ActiveJob
from jobs.ids import derived_id
from jobs.subjects import MODEL_READY
from jobs.worker import JobFailed
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from registry.manifest import Manifest
from registry.store import ArtifactStore
from service_kit.errors import NotFoundError

from optimizer_builder.create_build import KIND, Datasets, Models
from optimizer_builder.domain.build_plan import ADAPTER

CHILD = "optimizer_builder.child"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class _Made:
    """Versions that a build is made from."""

    source: ModelReady
    base: ModelReady
    """The source itself when it is no adapter."""
    dataset: DatasetReady | None

    @property
    def digests(self) -> dict[str, str]:
        made_from = {"source": self.source.digest, "base": self.base.digest}
        return made_from | ({"dataset": self.dataset.digest} if self.dataset else {})


class BuildJobHandler:
    """Builds. Idempotent: the same job gives the same version id."""

    kind = KIND

    def __init__(self, models: Models, datasets: Datasets, store: ArtifactStore) -> None:
        self._models = models
        self._datasets = datasets
        self._store = store

    async def is_ready(self, request: JobRequested) -> bool:
        """What a build is made from was there when it was ordered; its news may be on the way."""
        spec = ParseDict(MessageToDict(request.spec), BuildSpec(), ignore_unknown_fields=True)
        try:
            self._found(request.tenant, spec)
        except NotFoundError:
            return False
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        spec = job.spec(BuildSpec)
        try:
            made = self._found(job.tenant, spec)
        except NotFoundError as error:
            raise JobFailed(
                "SOURCE_GONE", error.message, "Order a build of another one."
            ) from error
        target = job.folder / "build"
        request = await asyncio.to_thread(self._request, spec, made, target)
        figures = await job.run_child(CHILD, request)
        manifest = await asyncio.to_thread(
            self._store.commit,
            target,
            kind="model",
            form=spec.target_form,
            made_from=made.digests,
            attributes={
                "context_tokens": int(figures["context_tokens"]),
                "measurements": figures,
            },
        )
        return _result(job, spec, made, manifest, figures)

    def _found(self, tenant: str, spec: BuildSpec) -> _Made:
        """Raises NotFoundError."""
        source = self._models.get(tenant, spec.source_version_id)
        adapted = source.form == ADAPTER
        base = self._models.get(tenant, source.parent_version_id) if adapted else source
        dataset = self._datasets.get(tenant, spec.dataset_id) if spec.dataset_id else None
        return _Made(source, base, dataset)

    def _request(self, spec: BuildSpec, made: _Made, target: Path) -> dict[str, Any]:
        """The child's request, over local, verified folders."""
        source = self._store.materialise(made.source.digest)
        adapted = made.source.form == ADAPTER
        dataset, choices = None, ()
        if made.dataset is not None:
            dataset = str(self._store.materialise(made.dataset.digest))
            choices = self._store.manifest(made.dataset.digest).attributes.get("choices", ())
        # The trainer's own answers are comparable only if it was scored on the same rows.
        comparable = spec.dataset_id == made.source.dataset_id and (source / EVALUATION).is_file()
        target.mkdir(parents=True)
        return {
            "form": spec.target_form,
            "base": str(self._store.materialise(made.base.digest)),
            "adapter": str(source) if adapted else None,
            "dataset": dataset,
            "choices": list(choices),
            "max_rows": spec.max_rows,
            "max_accuracy_loss": spec.max_accuracy_loss,
            "tuned": str(source / EVALUATION) if comparable else None,
            "target": str(target),
        }


def _result(
    job: ActiveJob, spec: BuildSpec, made: _Made, manifest: Manifest, figures: Mapping[str, float]
) -> JobResult:
    ready = ModelReady(
        version_id=derived_id("mv", job.job_id, manifest.form),
        tenant=job.tenant,
        name=made.source.name,
        form=manifest.form,
        digest=manifest.digest,
        parent_version_id=made.source.version_id,
        base_version_id=made.source.base_version_id or made.base.version_id,
        job_id=job.job_id,
        dataset_id=spec.dataset_id,
        size_bytes=manifest.size_bytes,
        context_tokens=int(figures["context_tokens"]),
        metrics=figures,
    )
    ready.created_at.GetCurrentTime()
    return JobResult(
        digest=manifest.digest,
        version_id=ready.version_id,
        announce_subject=MODEL_READY,
        announcement=ParseDict(MessageToDict(ready), Struct()),
        summary=ParseDict(dict(figures), Struct()),
    )
