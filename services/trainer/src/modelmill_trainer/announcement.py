"""What model.ready says of a model that training has made."""

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import version_id_of
from modelmill_jobs.active import ActiveJob
from modelmill_registry.manifest import Manifest

from modelmill_trainer.ingredients import Ingredients


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
