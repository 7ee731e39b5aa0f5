"""The part of a run's state that a rank holds, by the names of the weights that it is of.

Key "<start>.<kind>.<name>" holds a slice of a flattened weight: from which number on, of which kind
(`KINDS`), of which weight. Together the ranks' slices are every weight once, so that they can be
put together again for any number of ranks. Beside them "step", and with float16 the loss scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from modelmill_trainer.training.distributed.process_group import ProcessGroup

MASTER = "master"
MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = (MASTER, *MOMENTS)
STEP = "step"
SCALE = "loss_scale"
SCALER_FIELDS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


@dataclass(frozen=True)
class Fragment:
    """A rank's slice of a weight."""

    name: str
    start: int
    """The first number of the flattened weight that is in it."""
    flat: Tensor
    """The master weights of the optimizer that it lies in, float32."""
    offset: int
    """Where in them."""
    numel: int

    def of(self, tensor: Tensor) -> Tensor:
        """The slice in a tensor that is as long as `flat`; a view."""
        return tensor.narrow(0, self.offset, self.numel)


class Fragments:
    """Reads and writes the state behind an engine's optimizer."""

    def __init__(
        self, zero: "_Zero", weights: Mapping[str, torch.nn.Parameter], ranks: ProcessGroup
    ) -> None:
        self._zero = zero
        self._shapes = {name: zero.shape_of(weight) for name, weight in weights.items()}
        self._ranks = ranks
        self._fragments = [
            fragment
            for name, weight in weights.items()
            if (fragment := zero.fragment(name, weight)) is not None
        ]

    def state(self) -> dict[str, Tensor]:
        """Copies of everything, float32."""
        kept: dict[str, Tensor] = {}
        for fragment in self._fragments:
            moments = self._zero.optimizer.state.get(fragment.flat, {})
            for kind in KINDS:
                source = fragment.flat if kind == MASTER else moments.get(kind)
                if source is not None:
                    key = f"{fragment.start}.{kind}.{fragment.name}"
                    kept[key] = fragment.of(source).detach().clone()
            if STEP in moments:
                kept[STEP] = moments[STEP].detach().clone()
        return kept | self._zero.scaler_state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, or what was put together from several of them.

        Raises:
            ValueError: it is of another run.
        """
        found = _Slices(state)
        for flat in {id(fragment.flat): fragment.flat for fragment in self._fragments}.values():
            moments = self._zero.optimizer.state[flat]
            if STEP in state:
                moments[STEP] = state[STEP].clone()
                moments |= {kind: torch.zeros_like(flat) for kind in MOMENTS}
        with torch.no_grad():
            for fragment in self._fragments:
                moments = self._zero.optimizer.state[fragment.flat]
                for kind in KINDS if STEP in state else (MASTER,):
                    target = fragment.flat if kind == MASTER else moments[kind]
                    saved = found.slice(kind, fragment.name, fragment.start, fragment.numel)
                    fragment.of(target).copy_(saved)
        self._zero.load_scaler(state)
        self._zero.masters_changed()

    def whole(self, *, keep: bool) -> dict[str, Tensor]:
        """Every master weight, put together from all ranks, one at a time.

        Args:
            keep: Whether this rank wants them; it takes part anyway.
        """
        own = {fragment.name: fragment for fragment in self._fragments}
        gathered: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            weight = torch.zeros(shape.numel())
            if (fragment := own.get(name)) is not None:
                part = weight.narrow(0, fragment.start, fragment.numel)
                part.copy_(fragment.of(fragment.flat))
            self._ranks.add_up(weight)
            if keep:
                gathered[name] = weight.view(shape)
        return gathered


class _Slices:
    """The slices of a state, by kind and name."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._slices: dict[tuple[str, str], list[tuple[int, Tensor]]] = {}
        for key, tensor in state.items():
            start, _, rest = key.partition(".")
            if start.isdecimal():
                kind, _, name = rest.partition(".")
                self._slices.setdefault((kind, name), []).append((int(start), tensor))

    def slice(self, kind: str, name: str, start: int, numel: int) -> Tensor:
        """Raises ValueError when it is not there."""
        for first, tensor in self._slices.get((kind, name), ()):
            if first <= start and start + numel <= first + tensor.numel():
                return tensor.narrow(0, start - first, numel)
        raise ValueError(f"the state is of another run: no {kind} of {name} from {start} on")


class _Zero(Protocol):
    """What is different between the stages of ZeRO. All of it is DeepSpeed's inside."""

    optimizer: torch.optim.Optimizer

    def shape_of(self, weight: torch.nn.Parameter) -> torch.Size: ...

    def fragment(self, name: str, weight: torch.nn.Parameter) -> Fragment | None:
        """This rank's slice; None when it has nothing of the weight."""
        ...

    def masters_changed(self) -> None:
        """Compute with the master weights as they are now."""
        ...

    def scaler_state(self) -> dict[str, Tensor]: ...

    def load_scaler(self, state: Mapping[str, Tensor]) -> None: ...


class _Scaled:
    """The loss scale of float16; other formats have none."""

    def __init__(self, zero: Any) -> None:
        self._inside = zero
        self.optimizer: torch.optim.Optimizer = zero.optimizer

    def scaler_state(self) -> dict[str, Tensor]:
        scaler = self._inside.loss_scaler
        if not scaler.dynamic:
            return {}
        fields = [float(getattr(scaler, field)) for field in SCALER_FIELDS]
        return {SCALE: torch.tensor(fields, dtype=torch.float64)}

    def load_scaler(self, state: Mapping[str, Tensor]) -> None:
        scaler = self._inside.loss_scaler
        if not scaler.dynamic:
            return
        for field, value in zip(SCALER_FIELDS, state[SCALE].tolist(), strict=True):
            setattr(scaler, field, value if field == "cur_scale" else int(value))


class _DividedWeights(_Scaled):
    """Stage 3: a weight is cut into equal slices, the last of them filled up."""

    def __init__(self, zero: Any, rank: int) -> None:
        super().__init__(zero)
        self._rank = rank

    def shape_of(self, weight: Any) -> torch.Size:
        shape: torch.Size = weight.ds_shape
        return shape

    def fragment(self, name: str, weight: Any) -> Fragment | None:
        group, offset, numel = self._inside.grad_position[self._inside.get_param_id(weight)]
        start = self._rank * numel
        there = min(int(numel), int(weight.ds_numel) - start)
        if there <= 0:
            return None
        flat = self._inside.fp32_partitioned_groups_flat[group]
        return Fragment(name, int(start), flat, int(offset), there)

    def masters_changed(self) -> None:
        for group in range(len(self._inside.fp16_groups)):
            self._inside._reassign_or_swap_out_partitioned_parameters(group)
        kept_whole = self._inside.persistent_parameters
        if kept_whole:
            kept_whole[0].partition(kept_whole)
            kept_whole[0].all_gather(kept_whole)


class _WholeWeights(_Scaled):
    """Stages 1 and 2: all weights in a row are cut into equal slices."""

    def shape_of(self, weight: Any) -> torch.Size:
        shape: torch.Size = weight.shape
        return shape

    def fragment(self, name: str, weight: Any) -> Fragment | None:
        place = weight._hp_mapping
        if place is None:
            return None
        flat = self._inside.single_partition_of_fp32_groups[place.param_group_index]
        within, start = place.hp_fragment_address, place.lp_fragment_address.start
        return Fragment(name, int(start), flat, int(within.start), int(within.numel))

    def masters_changed(self) -> None:
        self._inside.update_lp_params()


def fragments_of(
    zero: Any, weights: Mapping[str, torch.nn.Parameter], ranks: ProcessGroup
) -> Fragments:
    """The state behind DeepSpeed's optimizer of any stage.

    Args:
        zero: The optimizer of an engine.
        weights: The trainable weights, by name.
    """
    divided = hasattr(zero, "fp32_partitioned_groups_flat")
    inside = _DividedWeights(zero, ranks.rank) if divided else _WholeWeights(zero)
    return Fragments(inside, weights, ranks)
