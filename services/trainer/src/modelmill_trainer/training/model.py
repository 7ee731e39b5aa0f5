"""The trained model: loads a Hugging Face folder, computes logits over token trees, and saves."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from modelmill_jobs.child import ChildFailure
from peft import PeftModel
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import FULL, LORA, LOW_RANK, QLORA
from modelmill_trainer.training import attention, soft_prompts
from modelmill_trainer.training.adapters import (
    add_lora,
    load_adapter,
    merge_adapter,
    save_adapter,
)
from modelmill_trainer.training.architecture import attention_masks, scale_logits
from modelmill_trainer.training.flops import FlopCounter, PassFlops
from modelmill_trainer.training.four_bits import nf4_config, use_expanded_products
from modelmill_trainer.training.fused.decoder import fused
from modelmill_trainer.training.packs import FUSED_PACK_NODES, PACK_NODES
from modelmill_trainer.training.soft_prompts import SoftPrompt, TreeInputs, new_soft_prompt
from modelmill_trainer.training.token_tree import TokenTree

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("special_tokens_map.json", "generation_config.json"),
)

Compute = Callable[[TokenTree, Sequence[int]], Tensor]
"""Signature of `TrainedModel.logits`."""


class TrainedModel:
    """A causal language model whose trainable weights follow from the method."""

    def __init__(
        self,
        model: PreTrainedModel,
        adapted: PeftModel | None,
        folder: Path,
        stored_dtype: torch.dtype,
        beginning: SoftPrompt | None = None,
    ) -> None:
        self._model = model
        self._adapted = adapted
        self._soft_prompt = beginning
        self._uses_soft_prompt = beginning is not None
        self._folder = folder
        self._stored_dtype = stored_dtype
        self._compute: Compute = self._logits
        self._as_base = False
        self._is_wrapped = False
        self._fused = None if beginning is not None else fused(model)
        self._autocast_dtype: torch.dtype | None = compute_dtype()
        """Autocast dtype; None to compute in the dtype of the weights."""
        self.work = FlopCounter(_needed(model))
        """FLOPs of all passes so far."""

    @classmethod
    def load(
        cls,
        folder: Path,
        choices: HyperParameters,
        base_name: str,
        adapter: Path | None = None,
        device: str | None = None,
    ) -> "TrainedModel":
        """Load a Hugging Face folder for training.

        Args:
            adapter: Folder of the LoRA adapter to continue from; None for a new one from the seed.
            device: Where it computes; None for `compute_device`.
        """
        torch.manual_seed(choices.seed)
        model, stored_dtype = _read(folder, choices.method, device or compute_device())
        adapted = add_lora(model, choices, base_name) if choices.method in LOW_RANK else None
        if adapted is not None and adapter is not None:
            load_adapter(adapted, adapter)
        beginning = new_soft_prompt(model, choices, base_name)
        return cls(model, adapted, folder, stored_dtype, beginning)

    @classmethod
    def load_frozen(cls, folder: Path, adapter: Path | None = None) -> "TrainedModel":
        """Load a Hugging Face folder for inference only, without dropout.

        Args:
            adapter: PEFT folder of a LoRA adapter that is merged into the weights.
        """
        if adapter is None:
            model, stored_dtype = _read(folder, LORA, compute_device())
        else:
            # Merged in float32: updates of an adapter vanish in bfloat16 sums.
            model, stored_dtype = _read(folder, FULL, compute_device())
            model = merge_adapter(model, adapter)
            model.to(compute_dtype())  # type: ignore[arg-type]
        return cls(model.requires_grad_(False).eval(), None, folder, stored_dtype)

    @property
    def module(self) -> torch.nn.Module:
        """The whole module, adapters included."""
        return self._adapted or self._model

    def wrap_passes(self, wrap: Callable[[Compute], Compute]) -> None:
        """Wrap the forward pass of `logits`, as DeepSpeed needs it.

        Fused computation and autocast end here: the wrapper relies on module hooks and converts
        weights itself.
        """
        self._fused, self._is_wrapped, self._autocast_dtype = None, True, None
        self._compute = wrap(self._compute)

    @property
    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Trainable weights by name, in a fixed order."""
        if self._soft_prompt is not None:
            return {soft_prompts.NAME: self._soft_prompt.weight}
        weights = self.module.named_parameters()
        return {name: weight for name, weight in weights if weight.requires_grad}

    @property
    def learns_by_adapter(self) -> bool:
        """Whether the base's weights are frozen."""
        return self._adapted is not None or self._soft_prompt is not None

    @property
    def training(self) -> bool:
        """Whether the model is in training mode."""
        return self._model.training

    @property
    def pack_nodes(self) -> int:
        """Maximum nodes of a forward pass."""
        return PACK_NODES if self._fused is None else FUSED_PACK_NODES

    @property
    def compute_format(self) -> str:
        """Compute dtype, for example "bfloat16"."""
        return str(self._autocast_dtype or self._model.dtype).removeprefix("torch.")

    def to_float32(self) -> None:
        """Convert weights and computation to float32, which is exact."""
        self._model.float()
        self._autocast_dtype = None

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy values into the trainable weights; all of them must be given."""
        with torch.no_grad():
            for name, weight in self.trainable.items():
                weight.copy_(weights[name])

    def train(self, on: bool) -> None:
        """Set training mode."""
        self.module.train(on)

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Disable adapter or soft prompt within the block; results equal the base's bit for bit."""
        self._uses_soft_prompt, self._as_base = False, True
        try:
            if self._adapted is None:
                yield
                return
            with self._adapted.disable_adapter():
                yield
        finally:
            self._uses_soft_prompt, self._as_base = self._soft_prompt is not None, False

    @contextmanager
    def as_frozen(self) -> Iterator[None]:
        """Freeze a fully trained model within the block, so that the fused computation applies.
        Weights are narrowed to the compute dtype only if that is exact."""
        learning = [weight for weight in self._model.parameters() if weight.requires_grad]
        if self.learns_by_adapter or self._is_wrapped or not learning:
            yield
            return
        own, autocast_dtype = self._model.dtype, self._autocast_dtype
        weights, narrow = list(self._model.parameters()), compute_dtype()
        exact = all(torch.equal(one.to(narrow).to(own), one) for one in weights)
        self._model.requires_grad_(False)
        self._autocast_dtype = None
        # Not `module.to`, which would round the rotary embedding tables permanently.
        _convert(weights, narrow if exact else own)
        self._fused = fused(self._model)
        try:
            yield
        finally:
            self._fused, self._autocast_dtype = None, autocast_dtype
            _convert(weights, own)
            for weight in learning:
                weight.requires_grad_(True)

    def logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), V) float32 logits of the token after each of `nodes`.

        The output head runs on these nodes only: with 49,000 tokens it costs as much as ten layers.
        """
        return self._compute(tree, nodes)

    def _logits(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        return self.logits_of_states(self.states(tree, nodes))

    def states(self, tree: TokenTree, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), C) final hidden states of `nodes`."""
        self.work.add(tree, len(nodes))
        with self._autocast():
            return self._hidden_N_C(tree).index_select(0, self._tensor(nodes))

    def logits_of_states(self, states_P_C: Tensor) -> Tensor:  # noqa: N803 - shape suffix
        """(P, V) float32 logits from final hidden states."""
        with self._autocast():
            head: Tensor = self._model.get_output_embeddings()(states_P_C)
        return scale_logits(head.float(), self._model.config)

    def _autocast(self) -> AbstractContextManager[None]:
        """Autocast, if the compute dtype differs from that of the weights."""
        autocast_dtype = self._autocast_dtype
        if autocast_dtype is None or autocast_dtype == self._model.dtype:
            return nullcontext()
        return torch.autocast(self._model.device.type, dtype=autocast_dtype)

    def save(self, folder: Path) -> None:
        """Write adapter or weights, and the tokenizer files."""
        if self._soft_prompt is not None:
            self._soft_prompt.save(folder)
        elif self._adapted is not None:
            save_adapter(self._adapted, folder)
        else:
            self._model.to(self._stored_dtype).save_pretrained(folder)  # type: ignore[arg-type]
        for name in TOKENIZER_FILES:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)

    def round_to_stored(self) -> None:
        """Round fully trained weights to the dtype they are saved in, so that the evaluated model
        is the saved one. Adapters are saved in float32."""
        if not self.learns_by_adapter:
            with torch.no_grad():
                for weight in self._model.parameters():
                    weight.copy_(weight.to(self._stored_dtype))

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(numbers, device=self._model.device)

    def _hidden_N_C(self, tree: TokenTree) -> Tensor:
        if self._fused is not None:
            return self._fused.hidden_N_C(tree, adapted=not self._as_base)
        visible_N_N = tree.visible_N_N()  # noqa: N806
        mask_N_N = torch.zeros(visible_N_N.shape, dtype=self._autocast_dtype or self._model.dtype)  # noqa: N806
        mask_N_N.masked_fill_(~visible_N_N, float("-inf"))
        mask_N_N = mask_N_N.to(self._model.device)  # noqa: N806
        ids, positions = self._tensor([tree.ids]), self._tensor([tree.positions])
        inputs = TreeInputs({"input_ids": ids}, mask_N_N, positions)
        if self._soft_prompt is not None and self._uses_soft_prompt:
            inputs = self._soft_prompt.tree_inputs(ids, mask_N_N, positions)
        output = self._model.base_model(
            **inputs.arguments,
            # transformers uses 4-D masks unchanged.
            attention_mask=attention_masks(inputs.mask, inputs.positions, self._model.config),
            position_ids=inputs.positions,
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state[0, inputs.skipped :]
        return hidden


def _read(folder: Path, method: str, device: str) -> tuple[PreTrainedModel, torch.dtype]:
    """The model in its compute dtype, and the dtype of the stored weights."""
    attention.register()
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Read before loading, which overwrites config.dtype with the compute dtype.
    stored_dtype = config.dtype or torch.float32
    packing: dict[str, Any] = {}
    if method == QLORA:
        # Packed where they stay, one by one; other weights are read and then moved.
        packing = {"quantization_config": nf4_config(compute_dtype()), "device_map": {"": device}}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_weight_dtype(method),
            attn_implementation=attention.NAME,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **packing,
        )
    except KeyError as error:
        if error.args != (attention.NAME,):
            raise
        raise _unsupported_attention(config.model_type) from error
    if method == QLORA:
        use_expanded_products(model)
    else:
        model.to(torch.device(device))  # type: ignore[arg-type]
    fix_deepseek_v2(model)
    return model, stored_dtype


def _unsupported_attention(model_type: str) -> ChildFailure:
    return ChildFailure(
        "UNSUPPORTED_ARCHITECTURE",
        f"transformers cannot run a model of type {model_type} with the attention function that "
        "training needs",
        "Train a base of another architecture, such as Llama, Qwen, Mistral, Gemma or Phi.",
    )


def _weight_dtype(method: str) -> torch.dtype:
    """The compute dtype for a frozen base; float32 for trainable weights.

    Small updates would vanish in bfloat16, so trainable weights are float32 and autocast for each
    pass (mixed precision: Micikevicius et al. 2018). Adapters, gradients and optimizer state are
    always float32.
    """
    return torch.float32 if method == FULL else compute_dtype()


def _convert(weights: Sequence[torch.nn.Parameter], dtype: torch.dtype) -> None:
    """Convert in place, so that an optimizer keeps its references."""
    for weight in weights:
        weight.data = weight.data.to(dtype)


def _needed(model: PreTrainedModel) -> PassFlops:
    config = model.config
    heads = config.num_attention_heads
    width = getattr(config, "qk_head_dim", None) or getattr(config, "head_dim", None)
    features = heads * (width or config.hidden_size // heads) * config.num_hidden_layers
    return PassFlops.of(model, model.get_output_embeddings(), features)


def fix_deepseek_v2(model: torch.nn.Module) -> None:
    """Set the attribute `num_experts` that large DeepSeek V2 models need.

    With "group_limited_greedy" routing, transformers 5.5.4 reads it without ever setting it.
    """
    for module in model.modules():
        experts = getattr(getattr(module, "config", None), "n_routed_experts", None)
        if experts and hasattr(module, "topk_method") and not hasattr(module, "num_experts"):
            module.num_experts = experts


def compute_device() -> str:
    """This process's GPU if there is one, else the processor."""
    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def compute_dtype() -> torch.dtype:
    """bfloat16 if the hardware multiplies it natively, else float32.


    Measured on Zen 5 at the shapes of a 135M model: 470 against 105 GFLOP/s a core. Without native
    support bfloat16 is emulated and slower.
    """
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    found = torch.cpu.get_capabilities()
    return torch.bfloat16 if found.get("avx512_bf16") or found.get("amx_bf16") else torch.float32
