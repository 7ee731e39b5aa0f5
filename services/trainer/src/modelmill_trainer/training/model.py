"""The model that is trained: read from a folder, computed over token trees, written to a folder."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import FULL, LORA
from modelmill_trainer.training import attention
from modelmill_trainer.training import soft_prompts as beginnings
from modelmill_trainer.training.adapters import add_lora, begin_from, save_adapter
from modelmill_trainer.training.architectures import mend
from modelmill_trainer.training.fused.decoder import fused
from modelmill_trainer.training.packs import FUSED_PACK_NODES, PACK_NODES
from modelmill_trainer.training.precision import compute_dtype
from modelmill_trainer.training.soft_prompts import Beginning, TreeInputs, fresh_beginning
from modelmill_trainer.training.token_tree import TokenTree
from modelmill_trainer.training.work import NeededWork, WorkMeter

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
        beginning: Beginning | None = None,
    ) -> None:
        self._model = model
        self._adapted = adapted
        self._beginning = beginning
        self._begins = beginning is not None
        self._folder = folder
        self._stored_dtype = stored_dtype
        self._compute: Compute = self._logits
        self._as_base = False
        self._is_wrapped = False
        self._fused = None if beginning is not None else fused(model)
        self._products: torch.dtype | None = compute_dtype()
        """What matrices are multiplied in; None for the format of the weights."""
        self.work = WorkMeter(_needed(model))
        """What the passes of this model needed."""

    @classmethod
    def load(
        cls, folder: Path, choices: HyperParameters, base_name: str, adapter: Path | None = None
    ) -> "TrainedModel":
        """Read a Hugging Face folder and make it trainable.

        Args:
            adapter: Folder of the LoRA adapter to go on from; the seed decides fresh ones.
        """
        torch.manual_seed(choices.seed)
        model, stored_dtype = _read(folder, choices.method)
        adapted = add_lora(model, choices, base_name) if choices.method == LORA else None
        if adapted is not None and adapter is not None:
            begin_from(adapted, adapter)
        beginning = fresh_beginning(model, choices, base_name)
        return cls(model, adapted, folder, stored_dtype, beginning)

    @classmethod
    def load_frozen(cls, folder: Path) -> "TrainedModel":
        """Read a Hugging Face folder to ask it, without dropout, and never to change it."""
        model, stored_dtype = _read(folder, LORA)
        return cls(model.requires_grad_(False).eval(), None, folder, stored_dtype)

    @property
    def module(self) -> torch.nn.Module:
        """All of it, adapters included."""
        return self._adapted or self._model

    def wrap_passes(self, wrap: Callable[[Compute], Compute]) -> None:
        """Compute `logits` by what `wrap` makes of the way that they are computed now.

        Modules compute from here on, in the format of their weights: whoever wraps passes may have
        hooks in them, and converts weights itself.
        """
        self._fused, self._is_wrapped, self._products = None, True, None
        self._compute = wrap(self._compute)

    @property
    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The weights that training changes, by name, in a fixed order."""
        if self._beginning is not None:
            return {beginnings.NAME: self._beginning.weight}
        weights = self.module.named_parameters()
        return {name: weight for name, weight in weights if weight.requires_grad}

    @property
    def learns_by_adapter(self) -> bool:
        """Whether the base's own weights stay as they are."""
        return self._adapted is not None or self._beginning is not None

    @property
    def training(self) -> bool:
        """Whether dropout is on."""
        return self._model.training

    @property
    def pack_nodes(self) -> int:
        """Nodes of a tree that is computed at once, at most."""
        return PACK_NODES if self._fused is None else FUSED_PACK_NODES

    @property
    def compute_format(self) -> str:
        """What it multiplies in, for example "bfloat16"."""
        return str(self._products or self._model.dtype).removeprefix("torch.")

    def widen(self) -> None:
        """Compute in float32 from here on; no weight changes its value."""
        self._model.float()
        self._products = None

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
        self._begins, self._as_base = False, True
        try:
            if self._adapted is None:
                yield
                return
            with self._adapted.disable_adapter():
                yield
        finally:
            self._begins, self._as_base = self._beginning is not None, False

    @contextmanager
    def as_frozen(self) -> Iterator[None]:
        """Within the block nothing learns, and a model whose own weights do is computed as frozen
        ones are: by few operations, and in their format where it holds every weight exactly."""
        learning = [weight for weight in self._model.parameters() if weight.requires_grad]
        if self.learns_by_adapter or self._is_wrapped or not learning:
            yield
            return
        own, products = self._model.dtype, self._products
        weights, narrow = list(self._model.parameters()), compute_dtype()
        exact = all(torch.equal(one.to(narrow).to(own), one) for one in weights)
        self._model.requires_grad_(False)
        self._products = None
        # Not the module's own conversion, which would round its tables of angles for good.
        _convert(weights, narrow if exact else own)
        self._fused = fused(self._model)
        try:
            yield
        finally:
            self._fused, self._products = None, products
            _convert(weights, own)
            for weight in learning:
                weight.requires_grad_(True)

    def logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), V) float32 scores of the token that follows each of `nodes`.

        Only there is the head computed: with 49,000 words it costs as much as ten layers.
        """
        return self._compute(tree, nodes)

    def _logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        return self.scores(self.states(tree, nodes))

    def states(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), C) what the last layer makes of `nodes`."""
        self.work.add(tree, len(nodes))
        with self._mixed():
            return self._hidden_N_C(tree).index_select(0, torch.tensor(nodes))

    def scores(self, states_P_C: Tensor) -> Tensor:  # noqa: N803 - shape suffix
        """(P, V) float32 scores of the tokens that follow such states."""
        with self._mixed():
            head: Tensor = self._model.get_output_embeddings()(states_P_C)
        return head.float()

    def _mixed(self) -> AbstractContextManager[None]:
        """Within it weights are converted for the products, where their format is another."""
        products = self._products
        if products is None or products == self._model.dtype:
            return nullcontext()
        return torch.autocast(self._model.device.type, dtype=products)

    def save(self, folder: Path) -> None:
        """Write adapter or weights, with what a reader needs to encode text for them."""
        if self._beginning is not None:
            self._beginning.save(folder)
        elif self._adapted is not None:
            save_adapter(self._adapted, folder)
        else:
            self._model.to(self._stored_dtype).save_pretrained(folder)  # type: ignore[arg-type]
        for name in TOKENIZER_FILES:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)

    def round_to_stored(self) -> None:
        """Round changed base weights to the format they are saved in, so that what is evaluated
        is what is saved; adapters are saved as they are."""
        if not self.learns_by_adapter:
            with torch.no_grad():
                for weight in self._model.parameters():
                    weight.copy_(weight.to(self._stored_dtype))

    def _hidden_N_C(self, tree: TokenTree) -> Tensor:
        if self._fused is not None:
            return self._fused.hidden_N_C(tree, adapted=not self._as_base)
        visible_N_N = tree.visible_N_N()  # noqa: N806
        mask_N_N = torch.zeros(visible_N_N.shape, dtype=self._products or self._model.dtype)  # noqa: N806
        mask_N_N.masked_fill_(~visible_N_N, float("-inf"))
        ids, positions = torch.tensor([tree.ids]), torch.tensor([tree.positions])
        inputs = TreeInputs({"input_ids": ids}, mask_N_N, positions)
        if self._beginning is not None and self._begins:
            inputs = self._beginning.before(ids, mask_N_N, positions)
        output = self._model.base_model(
            **inputs.arguments,
            # With four dimensions transformers takes the mask as it is.
            attention_mask=inputs.mask[None, None],
            position_ids=inputs.positions,
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state[0, inputs.skipped :]
        return hidden


def _read(folder: Path, method: str) -> tuple[PreTrainedModel, torch.dtype]:
    """The model in the format it is computed in, and the format that the folder is stored in."""
    attention.register()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Loading writes the format it computes in over the one that the folder is stored in.
    stored_dtype = config.dtype or torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=_weight_dtype(method),
        attn_implementation=attention.NAME,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    mend(model)
    return model, stored_dtype


def _weight_dtype(method: str) -> torch.dtype:
    """That of the products where the base's weights are frozen.

    Weights that learn are float32, for small updates would vanish in bfloat16, and are converted
    for each pass (mixed precision: Micikevicius et al. 2018). Adapters, gradients and the
    optimizer are float32 always.
    """
    return torch.float32 if method == FULL else compute_dtype()


def _convert(weights: Sequence[torch.nn.Parameter], dtype: torch.dtype) -> None:
    """In place: an optimizer that knows these weights goes on with them."""
    for weight in weights:
        weight.data = weight.data.to(dtype)


def _needed(model: PreTrainedModel) -> NeededWork:
    config = model.config
    heads = config.num_attention_heads
    width = getattr(config, "qk_head_dim", None) or getattr(config, "head_dim", None)
    features = heads * (width or config.hidden_size // heads) * config.num_hidden_layers
    return NeededWork.of(model, model.get_output_embeddings(), features)
