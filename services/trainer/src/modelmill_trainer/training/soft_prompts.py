"""Soft prompts of a frozen model: prefix tuning and prompt tuning.

A prefix is a trained key and value in each layer (Li and Liang, "Prefix-Tuning: Optimizing
Continuous Prompts for Generation", 2021). A prompt is a sequence of trained input embeddings
(Lester, Al-Rfou, Constant, "The Power of Scale for Parameter-Efficient Prompt Tuning", 2021). Both
are initialised from vocabulary tokens, which both papers found better than noise. For a prefix
these
are the keys and values that the base computes of the tokens, so Li and Liang's reparametrisation
network is not needed.

Every node of a token tree attends to the whole soft prompt, and its position comes after it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from modelmill_jobs.child import ChildFailure
from peft import PeftConfig, PrefixTuningConfig, PromptTuningConfig, TaskType
from safetensors.torch import save_file
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import PREFIX, VIRTUAL

NAME = "prompt_embeddings"
"""Tensor name, in PEFT's files and in checkpoints."""
ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class TreeInputs:
    """Arguments of the model's forward pass for a token tree."""

    arguments: dict[str, Any]
    mask: Tensor
    """(N, M) additive attention mask, 0 or minus infinity."""
    positions: Tensor
    skipped: int = 0
    """Leading outputs that belong to the soft prompt."""


class SoftPrompt(Protocol):
    """A trainable soft prompt; `weight` is float32, in PEFT's layout."""

    weight: torch.nn.Parameter

    def tree_inputs(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803 - shape suffix
        positions: Tensor,
    ) -> TreeInputs:
        """Model inputs for a token tree that follows the soft prompt."""
        ...

    def save(self, folder: Path) -> None:
        """Write it in PEFT's format."""
        ...


class PrefixTuning:
    """Prefix tuning: `weight` (V, L * 2 * G * D) holds keys and values of each layer."""

    def __init__(self, weight: Tensor, shape: tuple[int, int, int, int], base_name: str) -> None:
        """`shape` is (V, L, G, D): virtual tokens, layers, key heads, head width."""
        self.weight = torch.nn.Parameter(weight)
        self._shape = shape
        self._base_name = base_name

    def tree_inputs(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803
        positions: Tensor,
    ) -> TreeInputs:
        """See `SoftPrompt`."""
        virtual, layers, heads, width = self._shape
        stacked = self.weight.to(mask_N_N.dtype).view(virtual, 2 * layers, 1, heads, width)
        both_L2_1_G_V_D = stacked.permute(1, 2, 3, 0, 4)  # noqa: N806
        cache = DynamicCache()
        for layer in range(layers):
            cache.update(both_L2_1_G_V_D[2 * layer], both_L2_1_G_V_D[2 * layer + 1], layer)
        seen = mask_N_N.new_zeros((len(mask_N_N), virtual))
        return TreeInputs(
            {"input_ids": ids, "past_key_values": cache},
            torch.cat([seen, mask_N_N], dim=1),
            positions + virtual,
        )

    def save(self, folder: Path) -> None:
        """See `SoftPrompt`."""
        virtual, layers, heads, width = self._shape
        config = PrefixTuningConfig(
            task_type=TaskType.CAUSAL_LM,
            num_virtual_tokens=virtual,
            num_layers=layers,
            num_attention_heads=heads,
            token_dim=heads * width,
            encoder_hidden_size=heads * width,
            num_transformer_submodules=1,
        )
        _save(config, self.weight, self._base_name, folder)


class PromptTuning:
    """Prompt tuning: `weight` (V, C) holds input embeddings."""

    def __init__(self, weight: Tensor, model: PreTrainedModel, base_name: str) -> None:
        self.weight = torch.nn.Parameter(weight)
        self._words: Any = model.get_input_embeddings()
        self._heads = int(model.config.num_attention_heads)
        self._layers = int(model.config.num_hidden_layers)
        self._base_name = base_name

    def tree_inputs(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803
        positions: Tensor,
    ) -> TreeInputs:
        """See `SoftPrompt`."""
        virtual, nodes = len(self.weight), len(mask_N_N)
        words_1_N_C = self._words(ids)  # noqa: N806
        prompt_1_V_C = self.weight.to(words_1_N_C.dtype)[None]  # noqa: N806
        mask = mask_N_N.new_zeros((virtual + nodes, virtual + nodes))
        mask[:virtual, :virtual] = _causal(virtual, mask)
        mask[:virtual, virtual:] = float("-inf")
        mask[virtual:, virtual:] = mask_N_N
        ahead = torch.arange(virtual, device=positions.device)[None]
        return TreeInputs(
            {"inputs_embeds": torch.cat([prompt_1_V_C, words_1_N_C], dim=1)},
            mask,
            torch.cat([ahead, positions + virtual], dim=1),
            skipped=virtual,
        )

    def save(self, folder: Path) -> None:
        """See `SoftPrompt`."""
        virtual, width = self.weight.shape
        config = PromptTuningConfig(
            task_type=TaskType.CAUSAL_LM,
            num_virtual_tokens=virtual,
            num_layers=self._layers,
            num_attention_heads=self._heads,
            token_dim=width,
            num_transformer_submodules=1,
        )
        _save(config, self.weight, self._base_name, folder)


def new_soft_prompt(
    model: PreTrainedModel, choices: HyperParameters, base_name: str
) -> SoftPrompt | None:
    """Create a soft prompt from random vocabulary tokens and freeze `model`; None for other
    methods.

    Raises:
        ChildFailure: keys and values have different shapes, which PEFT's format cannot store.
    """
    if choices.method not in VIRTUAL:
        return None
    model.requires_grad_(False)
    virtual = choices.virtual_tokens
    words: Any = model.get_input_embeddings()
    drawn = torch.Generator().manual_seed(choices.seed)
    ids = torch.randint(0, len(words.weight), (1, virtual), generator=drawn).to(model.device)
    if choices.method == PREFIX:
        return _prefix_of(model, ids, base_name)
    with torch.no_grad():
        return PromptTuning(words(ids)[0].float(), model, base_name)


@torch.no_grad()
def _prefix_of(model: PreTrainedModel, ids: Tensor, base_name: str) -> PrefixTuning:
    virtual = ids.shape[1]
    words: Any = model.get_input_embeddings()
    cache = DynamicCache()
    model.base_model(
        input_ids=ids,
        attention_mask=_causal(virtual, words.weight)[None, None],
        position_ids=torch.arange(virtual, device=ids.device)[None],
        past_key_values=cache,
        use_cache=True,
    )
    layers: list[Any] = list(cache.layers)
    both: list[Tensor] = [part for layer in layers for part in (layer.keys, layer.values)]
    shapes = {tuple(part.shape) for part in both}
    if len(shapes) != 1:
        raise ChildFailure(
            "NO_PREFIX",
            "keys and values of this architecture differ in width, which PEFT's prefix format "
            "cannot store",
            "Train it with method prompt or lora.",
        )
    [(_, heads, _, width)] = shapes
    stacked = torch.stack([part[0] for part in both]).float()
    weight = stacked.permute(2, 0, 1, 3).reshape(virtual, -1).contiguous()
    return PrefixTuning(weight, (virtual, len(both) // 2, heads, width), base_name)


def _causal(count: int, like: Tensor) -> Tensor:
    """Causal additive mask, of dtype and device of `like`."""
    return like.new_full((count, count), float("-inf")).triu(diagonal=1)


def _save(config: PeftConfig, weight: Tensor, base_name: str, folder: Path) -> None:
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    save_file({NAME: weight.detach().contiguous()}, folder / ADAPTER_FILE, {"format": "pt"})
    config.save_pretrained(str(folder))
