"""Shape and example of a training job's checkpoints."""

from typing import Literal

from modelmill_gateway.entrypoints.document.examples import AT, TUNING, VERSION
from modelmill_gateway.entrypoints.document.shape import Answer, Page


class CheckpointMetrics(Answer):
    """Metrics of a checkpoint, where they are known; token accuracies are not."""

    step: int
    train_loss: float | None
    train_mean_token_accuracy: None
    valid_loss: float | None
    valid_mean_token_accuracy: None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: None


class Checkpoint(Answer):
    """The model of a job that has succeeded; until then a state to go on from, which names no model
    and cannot be asked."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuned_model_checkpoint: str | None
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics


class CheckpointPage(Page[Checkpoint]):
    """Page of checkpoints, newest first."""


CHECKPOINT = {
    "id": "ftckpt-4c1f",
    "object": "fine_tuning.job.checkpoint",
    "created_at": AT,
    "fine_tuned_model_checkpoint": VERSION,
    "fine_tuning_job_id": TUNING,
    "step_number": 120,
    "metrics": {
        "step": 120,
        "train_loss": 1.21,
        "train_mean_token_accuracy": None,
        "valid_loss": 1.34,
        "valid_mean_token_accuracy": None,
        "full_valid_loss": 1.33,
        "full_valid_mean_token_accuracy": None,
    },
}
