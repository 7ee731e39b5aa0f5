"""Validation during training: keeps the best weights, and stops on a plateau."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from modelmill_trainer.domain.limits import TrainingLimits
from modelmill_trainer.training.checkpoint import TrainingProgress
from modelmill_trainer.training.distributed.ranks import Ranks, SingleRank
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import AnswerObjective, Objective, held_out_loss
from modelmill_trainer.training.packs import TrainingExample

PLATEAU = "plateau"


class TrainableWeights(Protocol):
    """Access to whole trainable weights, local or sharded."""

    def snapshot(self) -> dict[str, Tensor]:
        """A copy by name; empty in ranks other than the leader."""
        ...

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Make these the result of the run."""
        ...


class _OwnWeights:
    """Weights of a single-process run."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def snapshot(self) -> dict[str, Tensor]:
        """See `TrainableWeights`."""
        return {name: weight.detach().clone() for name, weight in self._model.trainable.items()}

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """See `TrainableWeights`."""
        self._model.load_weights(weights)


class Validation:
    """Computes the validation loss periodically, and keeps the best weights.

    Args:
        rows: Rows of the valid split; without rows there is no validation.
        limits: Interval and patience. Without either, the last weights are the result.
        steps: Total steps of the plan.
        objective: The loss; by default that of answer tokens.
        ranks: Process group; all ranks compute the same, the leader keeps the best weights.
        weights: Access to sharded weights; by default those of this process.
        watched: Whether a validation dataset was given: then it is measured without limits, too.
    """

    def __init__(
        self,
        model: TrainedModel,
        rows: Sequence[TrainingExample],
        limits: TrainingLimits,
        steps: int,
        objective: Objective | None = None,
        *,
        ranks: Ranks | None = None,
        weights: TrainableWeights | None = None,
        watched: bool = False,
    ) -> None:
        self._model = model
        self._rows = rows
        self._ranks = ranks or SingleRank()
        self._weights = weights or _OwnWeights(model)
        self._limits = limits
        self._keeps_best = limits.patience > 0 or limits.evaluation_steps > 0
        self._watched = watched
        self._objective = objective or AnswerObjective()
        self._every = limits.evaluation_steps or max(1, steps // 10)
        self.best: dict[str, Tensor] = {}
        """Weights with the lowest loss; empty before the first validation."""

    @property
    def is_wanted(self) -> bool:
        """Whether validation takes place."""
        return bool(self._rows) and (self._keeps_best or self._watched)

    @property
    def tokens(self) -> int:
        """Tokens that one validation reads."""
        return sum(len(row.ids) for row in self._rows)

    def before(self, progress: TrainingProgress) -> None:
        """Compute the validation loss of the base, once before the first step."""
        if self._rows and progress.step == 0 and progress.first_valid_loss is None:
            progress.first_valid_loss = self._loss()

    def after(self, progress: TrainingProgress, *, last: bool) -> float | None:
        """Validate if due, and record the loss and a plateau in `progress`.

        Args:
            last: Whether this was the last step, after which validation is always due.
        """
        if not self.is_wanted or not (last or progress.step % self._every == 0):
            return None
        loss = self._loss()
        progress.valid_losses.append((progress.step, loss))
        if not self._keeps_best:
            return loss
        best = progress.best_valid_loss
        if best is None or loss < best - self._limits.min_improvement:
            progress.best_step, progress.best_valid_loss = progress.step, loss
            self.best = self._weights.snapshot()
        elif self._limits.patience and self._measures_since_best(progress) >= self._limits.patience:
            progress.stopped_by = progress.stopped_by or PLATEAU
        return loss

    def _loss(self) -> float:
        self._model.train(False)
        measured = held_out_loss(self._objective, self._model, self._rows)
        self._model.train(True)
        # Every rank must take the same decisions, so all use the leader's number.
        return self._ranks.total(measured if self._ranks.is_leader else 0.0)

    def resume(self, best: Mapping[str, Tensor]) -> None:
        """Restore the best weights of an earlier attempt."""
        self.best = dict(best)

    def restore_best(self, progress: TrainingProgress) -> None:
        """Load the best weights into the model, unless they are the last ones."""
        if not self.best or progress.best_step == progress.step:
            return
        self._weights.replace(self.best)

    @staticmethod
    def _measures_since_best(progress: TrainingProgress) -> int:
        """Validations since the best one."""
        return sum(step > progress.best_step for step, _ in progress.valid_losses)
