"""Optimizations: builds of smaller, faster forms of a model."""

from typing import Any, Literal

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobRecord
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import OrNull, VersionId
from modelmill_gateway.entrypoints.schemas.jobs import Job
from modelmill_gateway.entrypoints.schemas.parsing import JobBody
from modelmill_gateway.ordering.create_job import DEFAULT_FORM


class OptimizationBody(JobBody):
    """Request body of POST /v1/optimizations."""

    model: str = Field(
        min_length=1,
        max_length=256,
        description="Alias, version id or name; a build stands for what it was made from.",
        examples=["kinds"],
    )
    target_form: str = Field(DEFAULT_FORM, min_length=1, max_length=64, examples=["openvino-int8"])
    dataset_id: str = Field(
        "",
        max_length=128,
        description="Dataset whose test split scores the model before and after.",
        examples=["ds-7be014"],
    )
    max_accuracy_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Largest accepted loss of accuracy; a build that loses more is refused. 0 means 0.02."
        ),
    )
    max_rows: int = Field(0, ge=0, lt=2**32, description="Maximum test rows to score; 0 means all.")

    def spec(self) -> BuildSpec:
        """As optimizer-builder takes it."""
        fields = self.model_dump(exclude={"model", "priority"})
        return BuildSpec(source_version_id=self.model, **fields)


class Optimization(Job):
    """A build of a smaller, faster form; `version_id` is set when it has succeeded."""

    object: Literal["optimization"] = "optimization"  # type: ignore[assignment]
    source_version_id: str = Field(examples=["mv-77aa01"])
    target_form: str = Field(examples=["openvino-int8"])
    version_id: OrNull[VersionId] = Field(examples=[None])

    @classmethod
    def more_of(cls, record: JobRecord) -> dict[str, Any]:
        """What it is built from, and what came of it."""
        spec = record.requested.spec
        return {
            "source_version_id": text_of(spec, "source_version_id"),
            "target_form": text_of(spec, "target_form"),
            "version_id": record.state.result.version_id,
        }
