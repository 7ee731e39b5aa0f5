"""What can be learned to stand before every row, while the model stays as it is.

A prefix is a key and a value in each layer (Li and Liang, "Prefix-Tuning: Optimizing Continuous
Prompts for Generation", 2021); a prompt is an embedding that the model reads like a word (Lester,
Al-Rfou, Constant, "The Power of Scale for Parameter-Efficient Prompt Tuning", 2021). Both begin as
words of the vocabulary, which both papers found better than noise: a prefix as the keys and values
that the base computes of them. So a fresh prefix and a fresh prompt say what their words would say,
and no network between them and the prefix, as Li and Liang needed from noise, has to be trained.

Every node of a token tree sees all of a beginning, and positions go on behind it.
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
"""Of the one tensor, in PEFT's files and in checkpoints."""
ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class TreeInputs:
    """What the model is called with for a token tree."""

    arguments: dict[str, Any]
    mask: Tensor
    """(N, M), added to the scores: 0 where a node sees another, else minus infinity."""
    positions: Tensor
    skipped: int = 0
    """Outcomes at the front that belong to no node."""


class Beginning(Protocol):
    """Learned; `weight` is float32 and PEFT's tensor."""

    weight: torch.nn.Parameter

    def before(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803 - shape suffix
        positions: Tensor,
    ) -> TreeInputs:
        """The inputs of a tree behind it."""
        ...

    def save(self, folder: Path) -> None:
        """Write it as PEFT reads it."""
        ...


class Prefix:
    """Keys and values of each layer: `weight` is (V, L * 2 * G * D), as PEFT lays them out."""

    def __init__(self, weight: Tensor, shape: tuple[int, int, int, int], base_name: str) -> None:
        """`shape` is (V, L, G, D): virtual tokens, layers, key heads, their width."""
        self.weight = torch.nn.Parameter(weight)
        self._shape = shape
        self._base_name = base_name

    def before(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803
        positions: Tensor,
    ) -> TreeInputs:
        """See `Beginning`."""
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
        """See `Beginning`."""
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


class Prompt:
    """Embeddings: `weight` is (V, C)."""

    def __init__(self, weight: Tensor, model: PreTrainedModel, base_name: str) -> None:
        self.weight = torch.nn.Parameter(weight)
        self._words: Any = model.get_input_embeddings()
        self._heads = int(model.config.num_attention_heads)
        self._layers = int(model.config.num_hidden_layers)
        self._base_name = base_name

    def before(
        self,
        ids: Tensor,
        mask_N_N: Tensor,  # noqa: N803
        positions: Tensor,
    ) -> TreeInputs:
        """See `Beginning`."""
        virtual, nodes = len(self.weight), len(mask_N_N)
        words_1_N_C = self._words(ids)  # noqa: N806
        prompt_1_V_C = self.weight.to(words_1_N_C.dtype)[None]  # noqa: N806
        mask = mask_N_N.new_zeros((virtual + nodes, virtual + nodes))
        mask[:virtual, :virtual] = _causal(virtual, mask.dtype)
        mask[:virtual, virtual:] = float("-inf")
        mask[virtual:, virtual:] = mask_N_N
        ahead = torch.arange(virtual)[None]
        return TreeInputs(
            {"inputs_embeds": torch.cat([prompt_1_V_C, words_1_N_C], dim=1)},
            mask,
            torch.cat([ahead, positions + virtual], dim=1),
            skipped=virtual,
        )

    def save(self, folder: Path) -> None:
        """See `Beginning`."""
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


def fresh_beginning(
    model: PreTrainedModel, choices: HyperParameters, base_name: str
) -> Beginning | None:
    """One made of words that the seed draws; freezes `model`. None for methods without one.

    Raises:
        ChildFailure: keys and values of the model have no common shape, so that PEFT's files could
            not hold a prefix.
    """
    if choices.method not in VIRTUAL:
        return None
    model.requires_grad_(False)
    virtual = choices.virtual_tokens
    words: Any = model.get_input_embeddings()
    drawn = torch.Generator().manual_seed(choices.seed)
    ids = torch.randint(0, len(words.weight), (1, virtual), generator=drawn)
    if choices.method == PREFIX:
        return _prefix_of(model, ids, base_name)
    with torch.no_grad():
        return Prompt(words(ids)[0].float(), model, base_name)


@torch.no_grad()
def _prefix_of(model: PreTrainedModel, ids: Tensor, base_name: str) -> Prefix:
    virtual = ids.shape[1]
    cache = DynamicCache()
    model.base_model(
        input_ids=ids,
        attention_mask=_causal(virtual, model.dtype)[None, None],
        position_ids=torch.arange(virtual)[None],
        past_key_values=cache,
        use_cache=True,
    )
    layers: list[Any] = list(cache.layers)
    both: list[Tensor] = [part for layer in layers for part in (layer.keys, layer.values)]
    shapes = {tuple(part.shape) for part in both}
    if len(shapes) != 1:
        raise ChildFailure(
            "NO_PREFIX",
            "keys and values of this architecture differ in width, which no reader of prefixes "
            "expects",
            "Train it with method prompt or lora.",
        )
    [(_, heads, _, width)] = shapes
    stacked = torch.stack([part[0] for part in both]).float()
    weight = stacked.permute(2, 0, 1, 3).reshape(virtual, -1).contiguous()
    return Prefix(weight, (virtual, len(both) // 2, heads, width), base_name)


def _causal(count: int, dtype: torch.dtype) -> Tensor:
    """The mask of a row: each sees those before it and itself."""
    later = torch.ones((count, count), dtype=torch.bool).triu(diagonal=1)
    return torch.zeros((count, count), dtype=dtype).masked_fill_(later, float("-inf"))


def _save(config: PeftConfig, weight: Tensor, base_name: str, folder: Path) -> None:
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    save_file({NAME: weight.detach().contiguous()}, folder / ADAPTER_FILE, {"format": "pt"})
    config.save_pretrained(str(folder))
