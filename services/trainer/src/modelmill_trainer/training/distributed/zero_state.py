"""A rank's shard of the optimizer state, keyed by weight name.

Key "<start>.<kind>.<name>" is a slice of a flattened weight: first element, kind (`KINDS`) and
weight name. The slices of all ranks cover every weight exactly once, so that they can be resharded.
Further keys are "step" and, with float16, the loss scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from modelmill_trainer.training.distributed.process_group import RankGroup

MASTER = "master"
MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = (MASTER, *MOMENTS)
STEP = "step"
SCALE = "loss_scale"
SCALER_FIELDS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


@dataclass(frozen=True)
class Fragment:
    """Location of a rank's slice of a weight."""

    name: str
    start: int
    """First element, in the flattened weight."""
    flat: Tensor
    """The optimizer's flat float32 master weights that contain the slice."""
    offset: int
    """First element, in `flat`."""
    numel: int

    def of(self, tensor: Tensor) -> Tensor:
        """A view of the slice in a tensor with the layout of `flat`."""
        return tensor.narrow(0, self.offset, self.numel)


class Fragments:
    """Reads and writes the sharded state of a DeepSpeed optimizer."""

    def __init__(
        self, zero: "_ZeroStage", weights: Mapping[str, torch.nn.Parameter], ranks: RankGroup
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
        """Float32 copies of all slices."""
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
        """Restore what `state` returned, or a resharded version of it.

        Raises:
            ValueError: it belongs to another run.
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
        """Gather every master weight from all ranks, one at a time.

        Args:
            keep: Whether this rank keeps the result; all ranks must take part.
        """
        own = {fragment.name: fragment for fragment in self._fragments}
        gathered: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            weight = torch.zeros(shape.numel())
            if (fragment := own.get(name)) is not None:
                part = weight.narrow(0, fragment.start, fragment.numel)
                part.copy_(fragment.of(fragment.flat))
            self._ranks.all_reduce_disjoint(weight)
            if keep:
                gathered[name] = weight.view(shape)
        return gathered


class _Slices:
    """Slices of a saved state, by kind and name."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._slices: dict[tuple[str, str], list[tuple[int, Tensor]]] = {}
        for key, tensor in state.items():
            start, _, rest = key.partition(".")
            if start.isdecimal():
                kind, _, name = rest.partition(".")
                self._slices.setdefault((kind, name), []).append((int(start), tensor))

    def slice(self, kind: str, name: str, start: int, numel: int) -> Tensor:
        """Raises ValueError if the slice is missing."""
        for first, tensor in self._slices.get((kind, name), ()):
            if first <= start and start + numel <= first + tensor.numel():
                return tensor.narrow(0, start - first, numel)
        raise ValueError(f"the state is of another run. It lacks {kind} of {name} from {start}")


class _ZeroStage(Protocol):
    """Differences between ZeRO stages; implementations use DeepSpeed internals."""

    optimizer: torch.optim.Optimizer

    def shape_of(self, weight: torch.nn.Parameter) -> torch.Size: ...

    def fragment(self, name: str, weight: torch.nn.Parameter) -> Fragment | None:
        """This rank's slice; None if it holds nothing of the weight."""
        ...

    def masters_changed(self) -> None:
        """Copy changed master weights to the compute weights."""
        ...

    def scaler_state(self) -> dict[str, Tensor]: ...

    def load_scaler(self, state: Mapping[str, Tensor]) -> None: ...


class _LossScaled:
    """Loss scale of float16; other dtypes have none."""

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


class _Stage3(_LossScaled):
    """Stage 3: each weight is cut into equal slices, the last one padded."""

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


class _Stage1And2(_LossScaled):
    """Stages 1 and 2: the concatenation of all weights is cut into equal slices."""

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
    zero: Any, weights: Mapping[str, torch.nn.Parameter], ranks: RankGroup
) -> Fragments:
    """The sharded state of a DeepSpeed optimizer of any stage.

    Args:
        zero: Optimizer of a DeepSpeed engine.
        weights: Trainable weights by name.
    """
    divided = hasattr(zero, "fp32_partitioned_groups_flat")
    inside = _Stage3(zero, ranks.rank) if divided else _Stage1And2(zero)
    return Fragments(inside, weights, ranks)
