"""The model that is trained: read from a folder, computed over token trees, written to a folder."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from trainer.domain.hyper_parameters import LORA, HyperParameters
from trainer.training import attention
from trainer.training.adapters import add_lora, save_adapter
from trainer.training.precision import compute_dtype
from trainer.training.token_tree import TokenTree
from trainer.training.work import NeededWork, WorkMeter

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("special_tokens_map.json", "generation_config.json"),
)

Compute = Callable[[TokenTree, Sequence[int]], Tensor]
"""A forward pass, as `TrainedModel.logits`."""


class TrainedModel:
    """A causal language model with the weights that a method changes marked as such."""

    def __init__(
        self,
        model: PreTrainedModel,
        adapted: PeftModel | None,
        folder: Path,
        stored_dtype: torch.dtype,
    ) -> None:
        self._model = model
        self._adapted = adapted
        self._folder = folder
        self._stored_dtype = stored_dtype
        self._compute: Compute = self._logits
        self.work = WorkMeter(_needed(model))
        """What the passes of this model needed."""

    @classmethod
    def load(cls, folder: Path, choices: HyperParameters, base_name: str) -> "TrainedModel":
        """Read a Hugging Face folder and make it trainable; the seed decides fresh adapters."""
        attention.register()
        torch.manual_seed(choices.seed)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # Loading writes the format it computes in over the one that the folder is stored in.
        stored_dtype = config.dtype or torch.float32
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=compute_dtype(choices.method),
            attn_implementation=attention.NAME,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        adapted = add_lora(model, choices, base_name) if choices.method == LORA else None
        return cls(model, adapted, folder, stored_dtype)

    @property
    def module(self) -> torch.nn.Module:
        """All of it, adapters included."""
        return self._adapted or self._model

    def wrap_passes(self, wrap: Callable[[Compute], Compute]) -> None:
        """Compute `logits` by what `wrap` makes of the way that they are computed now."""
        self._compute = wrap(self._compute)

    @property
    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The weights that training changes, by name, in a fixed order."""
        weights = self.module.named_parameters()
        return {name: weight for name, weight in weights if weight.requires_grad}

    @property
    def learns_by_adapter(self) -> bool:
        """Whether the base's own weights stay as they are."""
        return self._adapted is not None

    @property
    def compute_format(self) -> str:
        """What it multiplies in, for example "bfloat16"."""
        return str(self._model.dtype).removeprefix("torch.")

    def widen(self) -> None:
        """Compute in float32 from here on; no weight changes its value."""
        self._model.float()

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Put these in the place of the trainable weights; every one of them is there."""
        with torch.no_grad():
            for name, weight in self.trainable.items():
                weight.copy_(weights[name])

    def train(self, on: bool) -> None:
        """Turn dropout on or off."""
        self.module.train(on)

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Within the block an adapted model computes as its base, bit for bit."""
        if self._adapted is None:
            yield
            return
        with self._adapted.disable_adapter():
            yield

    def logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), V) float32 scores of the token that follows each of `nodes`.

        Only there is the head computed: with 49,000 words it costs as much as ten layers.
        """
        return self._compute(tree, nodes)

    def _logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        self.work.add(tree, len(nodes))
        hidden = self._hidden_N_C(tree)
        chosen = hidden.index_select(0, torch.tensor(nodes))
        head: Tensor = self._model.get_output_embeddings()(chosen)
        return head.float()

    def save(self, folder: Path) -> None:
        """Write adapter or weights, with what a reader needs to encode text for them."""
        if self._adapted is not None:
            save_adapter(self._adapted, folder)
        else:
            self._model.to(self._stored_dtype).save_pretrained(folder)  # type: ignore[arg-type]
        for name in TOKENIZER_FILES:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)

    def round_to_stored(self) -> None:
        """Round changed base weights to the format they are saved in, so that what is evaluated
        is what is saved; adapters are saved as they are."""
        if self._adapted is None:
            with torch.no_grad():
                for weight in self._model.parameters():
                    weight.copy_(weight.to(self._stored_dtype))

    def _hidden_N_C(self, tree: TokenTree) -> Tensor:
        visible_N_N = tree.visible_N_N()  # noqa: N806
        mask_N_N = torch.zeros(visible_N_N.shape, dtype=self._model.dtype)  # noqa: N806
        mask_N_N.masked_fill_(~visible_N_N, float("-inf"))
        output = self._model.base_model(
            input_ids=torch.tensor([tree.ids]),
            # With four dimensions transformers takes the mask as it is.
            attention_mask=mask_N_N[None, None],
            position_ids=torch.tensor([tree.positions]),
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def _needed(model: PreTrainedModel) -> NeededWork:
    config = model.config
    heads = config.num_attention_heads
    width = getattr(config, "qk_head_dim", None) or getattr(config, "head_dim", None)
    features = heads * (width or config.hidden_size // heads) * config.num_hidden_layers
    return NeededWork.of(model, model.get_output_embeddings(), features)
