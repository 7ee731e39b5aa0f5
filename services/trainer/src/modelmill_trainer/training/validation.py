"""The loss of the valid split while training goes on: the best weights, and when to stop."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from modelmill_trainer.domain.limits import TrainingLimits
from modelmill_trainer.training.distributed.ranks import OneRank, Ranks
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import LearnAnswers, Objective, held_out_loss
from modelmill_trainer.training.packs import Example
from modelmill_trainer.training.progress import Progress

PLATEAU = "plateau"


class Weights(Protocol):
    """The trainable weights of a model, wherever they are."""

    def copied(self) -> dict[str, Tensor]:
        """All of them, by name; in a rank that does not lead, nothing."""
        ...

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Let these be the result of the run."""
        ...


class _OwnWeights:
    """Those of a model that is whole in this process."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model

    def copied(self) -> dict[str, Tensor]:
        """See `Weights`."""
        return {name: weight.detach().clone() for name, weight in self._model.trainable.items()}

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """See `Weights`."""
        self._model.take(weights)


class Validation:
    """Measures now and then, and keeps the weights of the best measure.

    Args:
        rows: Of the valid split; with none nothing is measured.
        limits: How often, and after how many measures without progress training stops. With
            none of these the run's last weights are its result.
        steps: Of the plan.
        objective: What is measured; the loss of answers by default.
        ranks: All of these measure the same; the one that leads keeps the best weights.
        weights: The model's, where they are not in one process.
        watched: Whether somebody named the rows: then they are measured without limits, too.
    """

    def __init__(
        self,
        model: TrainedModel,
        rows: Sequence[Example],
        limits: TrainingLimits,
        steps: int,
        objective: Objective | None = None,
        *,
        ranks: Ranks | None = None,
        weights: Weights | None = None,
        watched: bool = False,
    ) -> None:
        self._model = model
        self._rows = rows
        self._ranks = ranks or OneRank()
        self._weights = weights or _OwnWeights(model)
        self._limits = limits
        self._keeps_best = limits.patience > 0 or limits.evaluation_steps > 0
        self._watched = watched
        self._objective = objective or LearnAnswers()
        self._every = limits.evaluation_steps or max(1, steps // 10)
        self.best: dict[str, Tensor] = {}
        """The weights with which the loss was lowest; empty before the first measure."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is measured."""
        return bool(self._rows) and (self._keeps_best or self._watched)

    def before(self, progress: Progress) -> None:
        """Measure what the base makes of the valid split, once and before the first step."""
        if self._rows and progress.step == 0 and progress.first_valid_loss is None:
            progress.first_valid_loss = self._loss()

    def after(self, progress: Progress, *, last: bool) -> float | None:
        """Measure if it is time to, and put it into `progress`, `stopped_by` included.

        Args:
            last: Whether no step follows: then it is always time.
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
            self.best = self._weights.copied()
        elif self._limits.patience and self._waited(progress) >= self._limits.patience:
            progress.stopped_by = progress.stopped_by or PLATEAU
        return loss

    def _loss(self) -> float:
        self._model.train(False)
        measured = held_out_loss(self._objective, self._model, self._rows)
        self._model.train(True)
        # What follows from it shall follow in every rank.
        return self._ranks.total(measured if self._ranks.leads else 0.0)

    def resume(self, best: Mapping[str, Tensor]) -> None:
        """The best weights of an earlier attempt."""
        self.best = dict(best)

    def put_back_best(self, progress: Progress) -> None:
        """Give the model the best weights that were measured, if those are not its last."""
        if not self.best or progress.best_step == progress.step:
            return
        self._weights.replace(self.best)

    @staticmethod
    def _waited(progress: Progress) -> int:
        """Measures since the best one."""
        return sum(step > progress.best_step for step, _ in progress.valid_losses)
