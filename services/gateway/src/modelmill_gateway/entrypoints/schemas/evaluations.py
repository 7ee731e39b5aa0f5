"""Evaluations of models: what is measured, and an example of what is found."""

from typing import Annotated, Any, Literal

from google.protobuf.json_format import ParseDict
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobRecord
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import DatasetId, ModelName, OrNull, VersionId
from modelmill_gateway.entrypoints.schemas.jobs import Job
from modelmill_gateway.entrypoints.schemas.parsing import JobBody, StrictBody

UINT32, UINT64 = 2**32, 2**64
Name = Annotated[str, Field(max_length=256)]


class SliceBody(StrictBody):
    """Slice: groups of rows that are also evaluated on their own."""

    by: Name = Field(description="length, script, answer, or a column of the row.")
    edges: list[Annotated[int, Field(ge=1, lt=UINT32)]] = Field(
        [], max_length=16, description="Of length: characters at which a group ends, rising."
    )


class ProtectionBody(StrictBody):
    """Protected metric: the result says whether it stayed within its bounds."""

    measure: Name = Field(description="A metric; or mean: that over the tasks of the suite.")
    slice_by: Name = ""
    slice_value: Name = ""
    worst: float | None = Field(None, description="Worst accepted value.")
    largest_loss: float | None = Field(
        None, description="Largest accepted loss against compare_to."
    )
    suite: Name = Field("", description='"dataset" or the name of a task, where there are several.')


class TaskBody(StrictBody):
    """A task in a part of lm-evaluation-harness's format."""

    config: str = Field(min_length=1, max_length=32768, description="The task's YAML.")
    data_file_ids: list[Name] = Field(
        [], max_length=64, description="Uploaded files that its data_files name, by file names."
    )


class SuiteBody(StrictBody):
    """The suite that the tasks are of: the mean over them is measured, too."""

    name: str = Field(min_length=1, max_length=64, examples=["wordnet"])
    license: str = Field(
        min_length=1, max_length=64, description="Licence of the rows.", examples=["MIT"]
    )


class EvaluationBody(JobBody):
    """Request body of POST /v1/evaluations."""

    model: Name = Field(
        min_length=1,
        description="Alias, version id or name, as in a chat.",
        examples=["wordnet"],
    )
    compare_to: Name = Field(
        "",
        description="Second model, evaluated on the same rows and compared pairwise.",
        examples=["mv-0a77f2"],
    )
    dataset_id: Name = Field(
        "",
        description="Dataset; the last message of each row is the reference answer.",
        examples=["ds-7be014"],
    )
    split: Name = Field("test", description="Split: train, valid or test.")
    tasks: list[TaskBody] = Field([], max_length=16)
    measures: list[Name] = Field(
        [],
        max_length=32,
        description="Metrics for the dataset's rows; empty means all that apply.",
        examples=[["accuracy", "perplexity"]],
    )
    slices: list[SliceBody] = Field(
        [], max_length=16, examples=[[{"by": "length", "edges": [100, 500]}]]
    )
    protections: list[ProtectionBody] = Field(
        [],
        max_length=64,
        examples=[[{"measure": "accuracy", "worst": 0.6, "largest_loss": 0.02}]],
    )
    max_rows: int = Field(
        0,
        ge=0,
        lt=UINT32,
        description="Maximum rows, drawn by the seed; 0 means 1,000.",
        examples=[500],
    )
    max_new_tokens: int = Field(
        0,
        ge=0,
        lt=UINT32,
        description="Maximum tokens of an answer; 0 means 256. On rows at most the longest"
        " reference's bytes and 16.",
    )
    seed: int = Field(0, ge=0, lt=UINT64)
    resamples: int = Field(
        0, ge=0, lt=UINT32, description="Resamples of the bootstrap; 0 means 1,000."
    )
    suite: SuiteBody | None = Field(None, description="Suite that the tasks are of.")
    with_prompts: bool = Field(
        False, description="Whether rows of the report have their prompts, which a judge must see."
    )

    def spec(self) -> EvaluationSpec:
        """As the trainer takes it."""
        left_out = {"priority"} if self.dataset_id else {"priority", "split"}
        fields = self.model_dump(exclude=left_out, exclude_none=True)
        return ParseDict(fields, EvaluationSpec())


class Evaluation(Job):
    """Evaluation of a model; `result.summary` has the metrics once it has succeeded."""

    object: Literal["evaluation"] = "evaluation"  # type: ignore[assignment]
    model: ModelName
    compare_to: OrNull[VersionId]
    dataset_id: OrNull[DatasetId]

    @classmethod
    def more_of(cls, record: JobRecord) -> dict[str, Any]:
        """What is measured."""
        spec, names = record.requested.spec, ("model", "compare_to", "dataset_id")
        return {name: text_of(spec, name) for name in names}


MODELS = {
    "model": {"asked": "wordnet", "version_id": "mv-5d1c0e"},
    "compare_to": {"asked": "mv-0a77f2", "version_id": "mv-0a77f2"},
}
MEASURED: dict[str, Any] = {
    "accuracy": {
        "model": {"value": 0.71, "low": 0.6, "high": 0.8, "rows": 88},
        "compare_to": {"value": 0.4, "low": 0.3, "high": 0.5, "rows": 88},
        "comparison": {
            "difference": {"value": 0.31, "low": 0.2, "high": 0.42, "rows": 88},
            "won": 0.36,
            "lost": 0.05,
            "tied": 0.59,
            "is_clear": True,
        },
    }
}
PROTECTION = {
    "measure": "accuracy",
    "slice_by": "",
    "slice_value": "",
    "worst": 0.6,
    "largest_loss": 0.02,
    "suite": "",
    "value": 0.71,
    "difference": 0.31,
    "passed": True,
    "why": "",
}
RESULTS = {
    "models": MODELS,
    "suite": None,
    "suites": [
        {"name": "dataset", "rows": 88, "measures": MEASURED, "shown": [*MEASURED], "slices": {}}
    ],
    "protections": [PROTECTION],
    "passed": True,
}
"""Example of a report."""
