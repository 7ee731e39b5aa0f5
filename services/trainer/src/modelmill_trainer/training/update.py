"""Backward pass and optimizer: the interface, and the single-process implementation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import TrainingExample


class Update(Protocol):
    """Backward pass, optimizer step and optimizer state."""

    @property
    def whole_weights(self) -> Mapping[str, torch.nn.Parameter]:
        """Trainable weights by name, except those contained in `state`."""
        ...

    def begin(self, objective: Objective, rows: Sequence[TrainingExample]) -> None:
        """Start a step with all its rows."""
        ...

    def losses(self, objective: Objective, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """Losses of this rank's part of a micro-batch, see `Objective.losses`."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients of a loss."""
        ...

    def zero_grad(self) -> None:
        """Discard accumulated gradients."""
        ...

    def apply(self, rate: float) -> float:
        """Clip gradients, update the weights and reset gradients.

        Returns:
            The gradient norm before clipping. If it is not finite, no weight was changed.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Optimizer state for a checkpoint, without `whole_weights` and random generators."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned. Raises ValueError if it belongs to another run."""
        ...


class LocalUpdate:
    """AdamW in a single process."""

    def __init__(self, model: TrainedModel, choices: HyperParameters) -> None:
        self._model = model
        self._weights = list(model.trainable.values())
        self._max_grad_norm = choices.max_grad_norm
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=0.0, weight_decay=choices.weight_decay, fused=True
        )

    @property
    def whole_weights(self) -> Mapping[str, torch.nn.Parameter]:
        """See `Update`."""
        return self._model.trainable

    def begin(self, objective: Objective, rows: Sequence[TrainingExample]) -> None:
        """See `Update`."""
        objective.begin_step(self._model, rows)

    def losses(self, objective: Objective, rows: Sequence[TrainingExample]) -> Iterator[Tensor]:
        """See `Update`; for all rows."""
        return objective.losses(self._model, rows)

    def backward(self, loss: Tensor) -> None:
        """See `Update`."""
        loss.backward()  # type: ignore[no-untyped-call]

    def zero_grad(self) -> None:
        """See `Update`."""
        self._optimizer.zero_grad(set_to_none=True)

    def apply(self, rate: float) -> float:
        """See `Update`."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights, self._max_grad_norm))
        if torch.isfinite(torch.tensor(norm)):
            self._optimizer.param_groups[0]["lr"] = rate
            self._optimizer.step()
        self.zero_grad()
        return norm

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts, by "<index>.<name>"."""
        return {
            f"{index}.{name}": value.contiguous()
            for index, values in self._optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See `Update`."""
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        if any(index >= len(self._weights) for index in moments):
            raise ValueError("the optimizer's state is of another run")
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
