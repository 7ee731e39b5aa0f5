"""How gradients become new weights: on this process alone, or divided among ranks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.training.model import TrainedModel
from modelmill_trainer.training.objective import Objective
from modelmill_trainer.training.packs import Example


class Update(Protocol):
    """Backward pass and optimizer step of a run, with the state that a resume needs."""

    @property
    def whole_weights(self) -> Mapping[str, torch.nn.Parameter]:
        """The weights that training changes, by name, but for those that are in `state`."""
        ...

    def begin(self, objective: Objective, rows: Sequence[Example]) -> None:
        """Let the objective begin a step of all these rows."""
        ...

    def losses(self, objective: Objective, rows: Sequence[Example]) -> Iterator[Tensor]:
        """The summed losses of this process' part of a micro-batch, as `Objective.losses`."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar to those of the step."""
        ...

    def forget(self) -> None:
        """Let go of the step's gradients; nothing else has changed."""
        ...

    def apply(self, rate: float) -> float:
        """Change the weights by the step's gradients, which are then 0 again.

        Returns:
            The norm of the gradients before they were scaled down. Where it is not finite no
            weight has changed.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, but `whole_weights` and random generators."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises ValueError when it is another run's."""
        ...


class LocalUpdate:
    """AdamW over the trainable weights of a model that is whole in this process."""

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

    def begin(self, objective: Objective, rows: Sequence[Example]) -> None:
        """See `Update`."""
        objective.begin_step(self._model, rows)

    def losses(self, objective: Objective, rows: Sequence[Example]) -> Iterator[Tensor]:
        """See `Update`; of all rows."""
        return objective.losses(self._model, rows)

    def backward(self, loss: Tensor) -> None:
        """See `Update`."""
        loss.backward()  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """See `Update`."""
        self._optimizer.zero_grad(set_to_none=True)

    def apply(self, rate: float) -> float:
        """See `Update`."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights, self._max_grad_norm))
        if torch.isfinite(torch.tensor(norm)):
            self._optimizer.param_groups[0]["lr"] = rate
            self._optimizer.step()
        self.forget()
        return norm

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts, "<index>.<name>"."""
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
