"""Measures what parts of a model contribute, and cuts parts away (torch)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelmill_optimizer_builder.domain.pruning import Importance, Kept, ModelShape

LAYERWISE = ("layer_types", "no_rope_layers")
"""Fields of configs that have an entry for each layer."""
READING = ("self_attn.o_proj", "mlp.down_proj")
"""What reads the heads of a layer, and the columns of its MLP."""


def layers_of(module: Any) -> Any:
    """The layers of a causal language model."""
    return module.get_decoder().layers


@torch.inference_mode()
def measured_importance(
    module: Any,
    shape: ModelShape,
    samples: Sequence[Sequence[int]],
    on_sample: Callable[[int, int], None],
) -> Importance:
    """What each part contributes to texts.

    A column counts by the mean size of what it gives times the length of the weights that read it,
    a group by the sum over its heads, a layer by how much it turns the hidden state.

    Args:
        samples: Token ids.
    """
    layers = layers_of(module)
    inputs: dict[str, list[Tensor]] = {}
    turned = np.zeros(len(layers))
    with _recorded(layers, inputs, turned):
        for done, sample in enumerate(samples):
            on_sample(done, len(samples))
            module(torch.tensor([list(sample)]), use_cache=False, logits_to_keep=1)
    heads, columns = (
        np.stack([_contribution(linear, inputs[name]) for name, linear in _read(layers, part)])
        for part in READING
    )
    groups = heads.reshape(len(layers), shape.groups, -1).sum(-1)
    return Importance(turned, groups, columns)


def drop_layers(module: Any, kept: Sequence[int]) -> None:
    """Leave only these layers, numbered anew."""
    decoder, config = module.get_decoder(), module.config
    decoder.layers = nn.ModuleList(decoder.layers[number] for number in kept)
    for number, layer in enumerate(decoder.layers):
        layer.self_attn.layer_idx = number
    said = {name: getattr(config, name, None) for name in LAYERWISE}
    config.num_hidden_layers = len(kept)
    for name, values in said.items():
        if values is not None:
            setattr(config, name, [values[number] for number in kept])


@torch.no_grad()
def silence(module: Any, kept: Kept, shape: ModelShape) -> None:
    """Zero the weights that read what does not stay; layers are dropped already."""
    for number, layer in enumerate(layers_of(module)):
        heads = _spread(kept.groups[number], shape.heads_a_group * shape.head_dim)
        for part, places in zip(READING, (heads, kept.columns[number]), strict=True):
            linear = layer.get_submodule(part)
            silent = torch.ones(linear.in_features, dtype=torch.bool)
            silent[list(places)] = False
            linear.weight[:, silent] = 0


@torch.no_grad()
def cut(module: Any, kept: Kept, shape: ModelShape, planned: ModelShape) -> None:
    """Remove the rows and columns of what does not stay; layers are dropped already."""
    for number, layer in enumerate(layers_of(module)):
        attention, mlp = layer.self_attn, layer.mlp
        groups, columns = kept.groups[number], list(kept.columns[number])
        heads = _spread(groups, shape.heads_a_group * shape.head_dim)
        for linear in (attention.k_proj, attention.v_proj):
            _keep_rows(linear, _spread(groups, shape.head_dim))
        _keep_rows(attention.q_proj, heads)
        _keep_columns(attention.o_proj, heads)
        for linear in (mlp.gate_proj, mlp.up_proj):
            _keep_rows(linear, columns)
        _keep_columns(mlp.down_proj, columns)
    config = module.config
    config.head_dim = shape.head_dim
    config.num_attention_heads = planned.heads
    config.num_key_value_heads = planned.groups
    config.intermediate_size = planned.columns


def _read(layers: Any, part: str) -> Iterator[tuple[str, Any]]:
    """What reads heads or columns in each layer, with a name of its own."""
    for number, layer in enumerate(layers):
        yield f"{part} {number}", layer.get_submodule(part)


@contextmanager
def _recorded(
    layers: Any, inputs: dict[str, list[Tensor]], turned: np.ndarray[Any, Any]
) -> Iterator[None]:
    """Collect mean sizes of inputs by name, and how much layers turn what they are given."""

    def read(name: str) -> Callable[..., None]:
        def hook(_module: Any, given: tuple[Tensor, ...]) -> None:
            inputs.setdefault(name, []).append(given[0].abs().mean((0, 1)))

        return hook

    def turn(number: int) -> Callable[..., None]:
        def hook(_module: Any, given: tuple[Tensor, ...], output: Any) -> None:
            after = output[0] if isinstance(output, tuple) else output
            alike = torch.cosine_similarity(given[0], after, -1).mean()
            turned[number] += 1 - float(alike)

        return hook

    handles = [layer.register_forward_hook(turn(number)) for number, layer in enumerate(layers)]
    for part in READING:
        handles += [
            linear.register_forward_pre_hook(read(name)) for name, linear in _read(layers, part)
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _contribution(linear: Any, sizes: Sequence[Tensor]) -> np.ndarray[Any, Any]:
    """(I,) mean size of each input times the length of the weights that read it."""
    mean = torch.stack(list(sizes)).mean(0)
    found: np.ndarray[Any, Any] = (mean * linear.weight.norm(dim=0)).double().numpy()
    return found


def _spread(groups: Sequence[int], width: int) -> list[int]:
    """Places of whole groups."""
    return [group * width + place for group in groups for place in range(width)]


def _keep_rows(linear: Any, places: Sequence[int]) -> None:
    linear.weight = nn.Parameter(linear.weight[list(places)].clone())
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias[list(places)].clone())
    linear.out_features = len(places)


def _keep_columns(linear: Any, places: Sequence[int]) -> None:
    linear.weight = nn.Parameter(linear.weight[:, list(places)].clone())
    linear.in_features = len(places)
