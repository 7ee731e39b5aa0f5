"""Rows of an evaluation: what each model said, and how it was scored."""

from typing import Literal, Self

from modelmill.trainer.v1 import evaluation_pb2 as pb
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import ROW_ID, OrNull, ResponseModel


class EvaluationAnswer(ResponseModel):
    """What a model said of a row. `is_right` is by accuracy, else by exact match; null where
    neither was measured.
    """

    answer: str | None = Field(description="Generated answer.", examples=["plant"])
    chosen: str | None = Field(description="Likeliest choice.", examples=["plant"])
    log_likelihood: float | None = Field(description="Of the reference.", examples=[-0.31])
    tokens: int | None = Field(description="Of the reference.", examples=[1])
    choice_scores: OrNull[list[float]] = Field(
        description="Log-likelihood of each choice.", examples=[[-2.1, -0.31]]
    )
    scores: dict[str, float] = Field(examples=[{"accuracy": 1.0}])
    is_right: bool | None = Field(examples=[True])


class EvaluationRow(ResponseModel):
    """Row of an evaluation. `prompt` is null unless it was evaluated `with_prompts`; `slices` has
    the group of each slice that was asked for.
    """

    id: str = Field(examples=["row-17"])
    object: Literal["evaluation.row"] = "evaluation.row"
    suite: str = Field(examples=["dataset"])
    row: str = Field(examples=["17"])
    prompt_sha256: str = Field(examples=["9f" * 32])
    prompt: str | None = Field(examples=["oak: a tall tree"])
    reference: str = Field(examples=["plant"])
    slices: dict[str, str] = Field(examples=[{"length": "0-200"}])
    model: EvaluationAnswer
    compare_to: EvaluationAnswer | None

    @classmethod
    def of_row(cls, row: pb.EvaluationRow) -> Self:
        """A row as the trainer has it."""
        return cls.of(row, id=f"{ROW_ID}{row.line}")
