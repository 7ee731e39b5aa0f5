"""Runs that are looked at when they come to their first step."""

from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.child import ChildPort
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.training_plan import TrainingPlan
from modelmill_trainer.training import run_setup
from modelmill_trainer.training.fine_tune import fine_tune


class BegunError(Exception):
    """The run has come to its first step."""


class LoopThatIsSeen:
    """Stands where the training loop begins, and keeps what it was given."""

    examples: Any
    plan: TrainingPlan

    def __init__(
        self, _model: Any, examples: Any, plan: TrainingPlan, *_rest: Any, **_parts: Any
    ) -> None:
        LoopThatIsSeen.examples, LoopThatIsSeen.plan = examples, plan
        raise BegunError


class Beginner:
    """Runs a training up to its first step."""

    def __init__(self, patch: pytest.MonkeyPatch, scratch: Path, base: Path) -> None:
        patch.setattr(run_setup, "TrainingLoop", LoopThatIsSeen)
        self._scratch = scratch
        self._base = base

    def __call__(
        self, dataset: Path, objective: str = "answers", **given: Any
    ) -> type[LoopThatIsSeen]:
        """What the loop would have been given."""
        request = TrainRequest(
            base_folder=self._base,
            base_version_id="mv-base",
            context_tokens=512,
            dataset_folder=dataset,
            checkpoint_folder=None,
            choices=(),
            hyper_parameters=decide("lora", {"lora_rank": 2} | given, objective=objective),
            threads=1,
        )
        with (self._scratch / "reports").open("wb") as reports:
            port = ChildPort(request.as_json(), self._scratch, reports.fileno())
            with pytest.raises(BegunError):
                fine_tune(port)
        return LoopThatIsSeen
