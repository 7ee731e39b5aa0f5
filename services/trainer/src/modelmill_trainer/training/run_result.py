"""Results of a run: job summary, assessment and artifact folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_trainer.domain.assessment import assess_training
from modelmill_trainer.training.checkpoint import METRICS, TrainingProgress
from modelmill_trainer.training.failures import peak_bytes
from modelmill_trainer.training.model import TrainedModel

EVALUATION = "evaluation.json"


def summary_of(
    progress: TrainingProgress, model: TrainedModel, rows: int, report: Mapping[str, Any]
) -> dict[str, Any]:
    """Job summary; metrics that were not measured are left out."""
    summary: dict[str, Any] = {
        "rows": rows,
        "train_tokens": progress.tokens,
        "steps": progress.step,
        "first_loss": progress.first_loss,
        "last_loss": progress.last_loss,
        "train_seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds,
        "differences": report["differences"],
        "peak_memory_bytes": peak_bytes(),
        "trained_weights": sum(weight.numel() for weight in model.trainable.values()),
    }
    if progress.teacher_texts:
        summary["teacher_texts"] = len(progress.teacher_texts)
    if progress.stopped_by:
        summary["stopped_by"] = progress.stopped_by
    if progress.first_valid_loss is not None:
        summary["first_valid_loss"] = progress.first_valid_loss
    if progress.best_valid_loss is not None:
        summary |= {"best_step": progress.best_step, "best_valid_loss": progress.best_valid_loss}
    if progress.micro_batch_rows:
        summary["micro_batch_rows"] = progress.micro_batch_rows
    for name in ("base", "tuned", "teacher"):
        if name in report:
            summary[f"accuracy_{name}"] = report[name]["accuracy"]
    return summary


def assessment_of(summary: Mapping[str, Any], by_adapter: bool) -> dict[str, Any]:
    """Assessment of a summary; empty if nothing was measured."""
    verdict = assess_training(
        by_adapter=by_adapter,
        first_valid_loss=summary.get("first_valid_loss"),
        valid_loss=summary.get("valid_loss"),
        gain=summary["differences"].get("tuned-base"),
    )
    return verdict.as_json() if verdict is not None else {}


def write_folder(
    folder: Path, model: TrainedModel, metrics: Path, report: Mapping[str, Any]
) -> Path:
    """Write model, step metrics and final evaluation into a new `folder`."""
    folder.mkdir()
    model.save(folder)
    shutil.copyfile(metrics, folder / METRICS)
    (folder / EVALUATION).write_text(json.dumps(report, indent=2), encoding="utf-8")
    return folder
