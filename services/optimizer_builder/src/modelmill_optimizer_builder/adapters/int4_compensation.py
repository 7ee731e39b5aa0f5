"""int4 codes whose errors make up for each other: within a layer, and for those of earlier layers.

GPTQ (Frantar et al. 2022) rounds the columns of a weight matrix one after another and changes those
that follow so that the layer's outputs stay. Here scales are searched by squared error, and the
matrix is first changed so that it answers inputs of the layers already rounded as the source
answers its own (as in QEP, Arai & Ichikawa 2025).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LEVELS = 15
DAMPING = 0.02
"""Of the mean square of inputs: it keeps few samples from being learned by heart."""
CARRIED = 0.5
"""Share of the earlier layers' errors that a layer makes up for."""
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Shares of a group's range that are tried."""
SMALLEST_SCALE = 1e-6
NUMBERS_AT_ONCE = 1 << 24
TRUST = 0.02
"""How strongly scales stay near those that the codes were chosen with."""
LEAST_RESCALED = 0.7

OnLayer = Callable[[int, int], None]
"""Told (layers done, layers in all)."""


@dataclass(frozen=True)
class GroupCodes:
    """A weight matrix as int4; a weight is (code - zero) * scale."""

    codes: Tensor
    """(out, groups, group size), uint8 from 0 to 15."""
    zeros: Tensor
    """(out, groups), likewise."""
    scales: Tensor
    """(out, groups), float16."""

    def weights(self) -> Tensor:
        """(out, in), float32."""
        steps = self.codes.float() - self.zeros.float()[..., None]
        return (steps * self.scales.float()[..., None]).flatten(1)


class UnknownLayersError(Exception):
    """The weights are not those of linear layers in a list of decoder layers."""


class _EnoughError(Exception):
    """All inputs that were asked for are known."""


@torch.inference_mode()
def compensated_codes(
    module: Any, group_sizes: Mapping[str, int], samples: Sequence[Sequence[int]], told: OnLayer
) -> dict[str, GroupCodes]:
    """Codes of linear layers; their weights in the module become those of the codes.

    Args:
        module: Causal language model in float32.
        group_sizes: By the names of linear layers of its decoder.
        samples: Token ids; those of the most frequent length are read.

    Raises:
        UnknownLayersError: A name is no linear layer of a decoder layer.
    """
    layers = _decoder_layers(module)
    exact, options = _beginning(module, layers, _batch(samples))
    read = exact
    found: dict[str, GroupCodes] = {}
    for number, (prefix, layer) in enumerate(layers.items()):
        told(number, len(layers))
        linears = {
            name: linear
            for name, linear in layer.named_modules()
            if isinstance(linear, torch.nn.Linear) and f"{prefix}.{name}" in group_sizes
        }
        wanted, following = _inputs(layer, exact, options[number], linears)
        for together in _with_equal_inputs(wanted):
            part = {name: linears[name] for name in together}
            given, _ = _inputs(layer, read, options[number], part, is_enough=True)
            first = together[0]
            statistics = _Statistics.of(wanted[first], given[first])
            for name, linear in part.items():
                codes = statistics.codes(linear.weight, group_sizes[f"{prefix}.{name}"])
                linear.weight.copy_(codes.weights())
                found[f"{prefix}.{name}"] = codes
        read = _output(layer(read, **options[number]))
        exact = following
    if missing := set(group_sizes) - set(found):
        raise UnknownLayersError(f"{min(missing)} is no linear layer of a decoder layer")
    return found


def _batch(samples: Sequence[Sequence[int]]) -> Tensor:
    lengths = [len(sample) for sample in samples]
    usual = max(set(lengths), key=lengths.count)
    return torch.tensor([list(sample) for sample in samples if len(sample) == usual])


def _decoder_layers(module: Any) -> dict[str, Any]:
    """The longest list of modules with linear layers, by name."""
    lists = [
        (name, each)
        for name, each in module.named_modules()
        if isinstance(each, torch.nn.ModuleList)
        and any(isinstance(part, torch.nn.Linear) for part in each.modules())
    ]
    if not lists:
        raise UnknownLayersError("the model has no list of layers")
    name, layers = max(lists, key=lambda found: len(found[1]))
    return {f"{name}.{number}": layer for number, layer in enumerate(layers)}


def _beginning(
    module: Any, layers: Mapping[str, Any], ids: Tensor
) -> tuple[Tensor, list[dict[str, Any]]]:
    """What the first decoder layer reads, and what each is given besides."""
    hidden: list[Tensor] = []
    options: list[dict[str, Any]] = []

    def note(_layer: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        others = dict(named)
        read = given[0] if given else others.pop("hidden_states")
        if not hidden:
            hidden.append(read)
        options.append(others)

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers.values()]
    try:
        module(ids, use_cache=False, logits_to_keep=1)
    finally:
        for hook in hooks:
            hook.remove()
    return hidden[0], options


def _inputs(
    layer: Any,
    hidden: Tensor,
    options: Mapping[str, Any],
    linears: Mapping[str, Any],
    *,
    is_enough: bool = False,
) -> tuple[dict[str, Tensor], Tensor]:
    """What each linear layer reads, and the decoder layer's output.

    Args:
        is_enough: Stop when all are known; the output is then what was read.
    """
    read: dict[str, Tensor] = {}

    def noting(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
        def note(_linear: Any, given: tuple[Any, ...]) -> None:
            read[name] = given[0]
            if is_enough and len(read) == len(linears):
                raise _EnoughError

        return note

    hooks = [linear.register_forward_pre_hook(noting(name)) for name, linear in linears.items()]
    output = hidden
    try:
        output = _output(layer(hidden, **options))
    except _EnoughError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return read, output


def _output(found: Any) -> Tensor:
    output: Tensor = found[0] if isinstance(found, tuple) else found
    return output


def _with_equal_inputs(read: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Names of layers that read the same tensor, in the order in which they read."""
    together: dict[int, list[str]] = {}
    for name, each in read.items():
        together.setdefault(each.data_ptr(), []).append(name)
    yield from together.values()


@dataclass(frozen=True)
class _Statistics:
    """Sums over all tokens that a linear layer reads; (in, in) each."""

    square: Tensor
    """Of the inputs given by rounded layers, damped."""
    difference: Tensor
    """Of the source's inputs less the given ones, times the given ones."""

    @classmethod
    def of(cls, wanted: Tensor, given: Tensor) -> "_Statistics":
        wanted, given = wanted.flatten(0, -2), given.flatten(0, -2)
        square = given.T @ given
        damping = DAMPING * square.diagonal().mean()
        square.diagonal().add_(damping.clamp(min=SMALLEST_SCALE))
        return cls(square, (wanted - given).T @ given)

    def codes(self, weight: Tensor, group_size: int) -> GroupCodes:
        """Codes of a weight matrix (out, in)."""
        factor = torch.linalg.cholesky(self.square)
        carried = torch.cholesky_solve((weight @ self.difference).T, factor).T
        changed = weight + CARRIED * carried
        spread = torch.linalg.cholesky(torch.cholesky_inverse(factor), upper=True)
        found = _rounded(changed.clone(), spread, group_size)
        return self._rescaled(found, changed)

    def _rescaled(self, found: GroupCodes, weight: Tensor) -> GroupCodes:
        """The same codes with the scales by which the layer's outputs are nearest."""
        _, groups, size = found.codes.shape
        square = self.square.view(groups, size, groups, size)
        steps = found.codes.float() - found.zeros.float()[..., None]
        scales = found.scales.float()
        parts = []
        at_once = max(1, NUMBERS_AT_ONCE // (groups * groups * size))
        for start in range(0, len(steps), at_once):
            # The scales of a row are found together: errors of groups make up for each other.
            rows = slice(start, start + at_once)
            step, wanted = steps[rows], weight[rows].view(-1, groups, size)
            spread = torch.einsum("ogs,gshz->oghz", step, square)
            matrix = torch.einsum("oghz,ohz->ogh", spread, step)
            goal = torch.einsum("oghz,ohz->og", spread, wanted)
            weights = matrix.diagonal(dim1=1, dim2=2) * TRUST + SMALLEST_SCALE
            matrix = matrix + torch.diag_embed(weights)
            parts.append(torch.linalg.solve(matrix, goal + weights * scales[rows]))
        fitted = torch.cat(parts)
        fitted = torch.minimum(
            torch.maximum(fitted, scales * LEAST_RESCALED), scales / LEAST_RESCALED
        )
        return GroupCodes(found.codes, found.zeros, fitted.half())


def _rounded(weight: Tensor, spread: Tensor, group_size: int) -> GroupCodes:
    """Round column by column; `weight` is used up.

    Args:
        spread: Upper Cholesky factor of the inverse square; its rows say how an error of a column
            is made up for by those that follow.
    """
    codes, zeros, scales = [], [], []
    for start in range(0, weight.shape[1], group_size):
        end = start + group_size
        block, own = weight[:, start:end], spread[start:end, start:end]
        scale, zero = _range(block, own.diagonal())
        errors = torch.empty_like(block)
        chosen = torch.empty_like(block, dtype=torch.uint8)
        for place in range(group_size):
            column = block[:, place]
            code = (torch.round(column / scale) + zero).clamp(0, LEVELS)
            error = (column - (code - zero) * scale) / own[place, place]
            block[:, place:] -= error[:, None] * own[place, place:][None]
            errors[:, place], chosen[:, place] = error, code.byte()
        weight[:, end:] -= errors @ spread[start:end, end:]
        codes.append(chosen)
        zeros.append(zero.byte())
        scales.append(scale.half())
    return GroupCodes(torch.stack(codes, 1), torch.stack(zeros, 1), torch.stack(scales, 1))


def _range(block: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero of each row of a group, by the least error of those tried.

    Args:
        spread: Of each column; the smaller, the more its error counts.
    """
    low, high = block.amin(1).clamp(max=0), block.amax(1).clamp(min=0)
    counts = 1 / spread.square()
    best = torch.full_like(low, torch.inf)
    scale, zero = torch.ones_like(low), torch.zeros_like(low)
    for shrink in SHRINKS:
        tried = ((high - low) * (shrink / LEVELS)).clamp(min=SMALLEST_SCALE).half().float()
        offset = torch.round(-low * shrink / tried).clamp(0, LEVELS)
        code = (torch.round(block / tried[:, None]) + offset[:, None]).clamp(0, LEVELS)
        error = (((code - offset[:, None]) * tried[:, None] - block).square() * counts).sum(1)
        is_better = error < best
        best = torch.where(is_better, error, best)
        scale, zero = torch.where(is_better, tried, scale), torch.where(is_better, offset, zero)
    return scale, zero
