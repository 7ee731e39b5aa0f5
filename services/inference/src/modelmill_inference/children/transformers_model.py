"""Loads and runs causal language models with transformers (imports torch)."""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from modelmill_inference.children.sampler import Logits
from modelmill_inference.children.transformers_folder import count_of_weights
from modelmill_inference.domain.adapter_fit import BEGINNING

PREFILL_TOKENS = 512
"""Chunk size of prefill, between which other requests run."""
AGREEMENT = 0.05
"""Tolerance for two computations of the same logits, relative to their norm."""
KINDS = ("PREFIX_TUNING", "PROMPT_TUNING")
"""PEFT types with a soft prompt."""
WEIGHTS_FILE = "adapter_model.safetensors"


class Memory:
    """State of one text: tokens and key-value cache."""

    def __init__(self, cache: Any | None) -> None:
        self.tokens: list[int] = []
        self.cache = cache
        """Key-value cache; None if the model does not support one."""

    @property
    def length(self) -> int:
        """Tokens that were read."""
        return len(self.tokens)

    def copy(self) -> "Memory":
        """An independent copy."""
        twin = Memory(None)
        twin.tokens = list(self.tokens)
        if self.cache is not None:
            twin.cache = copy.copy(self.cache)
            twin.cache.layers = [_copy_layer(layer) for layer in self.cache.layers]
        return twin

    @property
    def size_bytes(self) -> int:
        """Size of the key-value cache."""
        layers = [] if self.cache is None else self.cache.layers
        tensors = [value for layer in layers for value in vars(layer).values()]
        return sum(value.nbytes for value in tensors if isinstance(value, Tensor))


def _copy_layer(layer: Any) -> Any:
    # These layers append into a new tensor, so the old one can be shared; other layers write in
    # place.
    appends = type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
    return copy.copy(layer) if appends else copy.deepcopy(layer)


def _moved(cache: Any, device: str) -> Any:
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys.to(device), layer.values.to(device)
    return cache


class CausalModel:
    """A model that passed a test run. Raises ValueError if it cannot generate."""

    def __init__(self, module: Any, device: str, soft_prompt: Any | None = None) -> None:
        """`soft_prompt` is a key-value cache that precedes every text."""
        self._module = module.eval().to(device)
        self._device = device
        self._soft_prompt = None if soft_prompt is None else _moved(soft_prompt, device)
        self._keeps_logits = "logits_to_keep" in inspect.signature(module.forward).parameters
        self._remembers = True
        self.vocabulary = int(module.get_input_embeddings().weight.shape[0])
        self.bytes_per_token = 0
        self._prefill_tokens: int | None = None
        self._try_out()

    def new_memory(self, most_tokens: int = 0) -> Memory:
        """An empty state; it grows as it is read on, whatever it may have at most."""
        return Memory(self._new_cache() if self._remembers else None)

    def piece(self, tokens: list[int]) -> list[int]:
        """The next prefill chunk of `tokens`."""
        return tokens[: self._prefill_tokens]

    @torch.inference_mode()
    def read(self, tokens: list[int], memory: Memory, *, keep: int = 1) -> Logits:
        """(keep, V) logits after the last `keep` of `tokens`."""
        logits: Logits = self._read(tokens, memory, keep=keep).numpy()
        return logits

    def lacks_memory(self, error: Exception) -> bool:
        """Whether an error says that there is no memory."""
        # On CPU torch raises a plain RuntimeError.
        return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            "can't allocate memory" in str(error)
        )

    def _read(self, tokens: list[int], memory: Memory, *, keep: int = 1) -> Tensor:
        memory.tokens += tokens
        if memory.cache is None:
            return self._logits(memory.tokens, keep)
        return self._logits(tokens, keep, past_key_values=memory.cache, use_cache=True)

    @torch.inference_mode()
    def vector(self, tokens: list[int]) -> list[float]:
        """Mean of the last hidden states, normalised."""
        how = self._without_memory()
        read = self._module.base_model(input_ids=self._ids(tokens), **how)
        mean = read.last_hidden_state[0].float().mean(dim=0)
        vector: list[float] = torch.nn.functional.normalize(mean, dim=0).tolist()
        return vector

    def _logits(self, tokens: list[int], keep: int, **how: Any) -> Tensor:
        how = how or self._without_memory()
        if self._keeps_logits:
            how["logits_to_keep"] = keep
        logits: Tensor = self._module(input_ids=self._ids(tokens), **how).logits
        return logits[0, -keep:, : self.vocabulary].float().cpu()

    def _without_memory(self) -> dict[str, Any]:
        """Arguments for a single pass without state."""
        if self._soft_prompt is None:
            return {"use_cache": False}
        return {"past_key_values": self._new_cache(), "use_cache": True}

    def _new_cache(self) -> Any:
        if self._soft_prompt is None:
            return DynamicCache(config=self._module.config)
        memory = Memory(self._soft_prompt)
        return memory.copy().cache

    def _ids(self, tokens: list[int]) -> Tensor:
        return torch.tensor([tokens], device=self._device)

    @torch.inference_mode()
    def _try_out(self) -> None:
        """Test generation, cache support and the cache size per token."""
        tokens = [0, self.vocabulary // 2, self.vocabulary - 1]
        whole = self._logits(tokens, 3)
        self.vocabulary = whole.shape[1]
        if not whole.isfinite().all():
            raise ValueError("the model's logits are not numbers")
        if not _agree(self._logits(tokens[:1], 1), whole[:1]):
            raise ValueError("later tokens change earlier logits: no causal language model")
        memory = Memory(None)
        try:
            memory = self.new_memory()
            self._read(tokens[:1], memory)
            first_bytes = memory.size_bytes
            rest = self._read(tokens[1:], memory, keep=2)
        except (TypeError, ValueError, AttributeError, RuntimeError, IndexError):
            # Some models have a cache class of their own.
            self._remembers = False
        else:
            self._remembers = first_bytes > 0 and _agree(rest, whole[1:])
        if self._remembers and memory.cache is not None:
            self.bytes_per_token = max((memory.size_bytes - first_bytes) // 2, 1)
            if all(isinstance(layer, DynamicLayer) for layer in memory.cache.layers):
                self._prefill_tokens = PREFILL_TOKENS


def _agree(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= AGREEMENT * other.norm())


@torch.inference_mode()
def read_soft_prompt(module: Any, config: Any, folder: Path) -> Any:
    """Key-value cache of a soft prompt, which precedes every text as in training.

    Args:
        config: PEFT config of one of `KINDS`.

    Raises:
        ValueError: it does not fit the model.
    """
    weight = load_file(folder / WEIGHTS_FILE)[BEGINNING].to(module.dtype)
    virtual = int(config.num_virtual_tokens)
    if getattr(config, "prefix_projection", False):
        raise ValueError("the adapter has prefix_projection, whose network is not in its file")
    if weight.shape[0] != virtual:
        raise ValueError(f"the adapter has {weight.shape[0]} virtual tokens, not {virtual}")
    cache = DynamicCache(config=module.config)
    if not all(type(layer) is DynamicLayer for layer in cache.layers):
        raise ValueError("a soft prompt needs layers that see all of a text")
    if config.peft_type == KINDS[1]:
        module.base_model(inputs_embeds=weight[None], past_key_values=cache, use_cache=True)
        return cache
    _fill(cache, weight, int(config.num_layers), int(config.num_attention_heads))
    return cache


def _fill(cache: Any, weight: Tensor, layers: int, heads: int) -> None:
    """Split a prefix in PEFT's layout: token; layer, key or value; head; width."""
    both = weight.view(len(weight), 2 * layers, heads, -1).permute(1, 2, 0, 3).unsqueeze(1)
    for layer in range(layers):
        cache.update(both[2 * layer].contiguous(), both[2 * layer + 1].contiguous(), layer)


def open_model(load: dict[str, Any]) -> CausalModel:
    """Load the model from the load message of `adapters.transformers`, with its adapter.

    Raises:
        ValueError: it is incomplete, not a causal model, or larger than free memory.
        Exception: any error of transformers for an unsupported folder.
    """
    disable_progress_bar()
    if load["threads"]:
        torch.set_num_threads(load["threads"])
    device, dtype = _device(load["device"]), load["dtype"]
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    folder, weights = Path(load["folder"]), getattr(torch, dtype)
    _refuse_too_large(folder, weights, device)
    module = _read_module(folder, weights)
    soft_prompt = _apply_adapter(module, Path(load["adapter"])) if load["adapter"] else None
    return CausalModel(module, device, soft_prompt)


def _read_module(folder: Path, dtype: torch.dtype) -> Any:
    read: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    module, found = read
    # transformers would initialise these at random.
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found[what]:
            odd = sorted(map(str, found[what]))[:3]
            raise ValueError(f"the weights do not fit config.json: {what} {odd}")
    return module


def _apply_adapter(module: Any, folder: Path) -> Any | None:
    """Apply an adapter to the module, in place.

    Returns:
        The key-value cache of a soft prompt; None for LoRA.
    """
    # Imported on demand: a base alone does not need PEFT.
    from peft import LoraConfig, PeftConfig, PeftModelForCausalLM

    config: Any = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    if config.peft_type in KINDS:
        return read_soft_prompt(module, config, folder)
    if type(config) is not LoraConfig:
        known = ", ".join(("LORA", *KINDS))
        raise ValueError(f"the adapter is of type {config.peft_type}; only {known} are run")
    config.inference_mode = True
    adapted = PeftModelForCausalLM(module, config)
    found = adapted.load_adapter(str(folder), "default", local_files_only=True)
    if found.unexpected_keys or found.missing_keys:
        odd = sorted([*found.unexpected_keys, *found.missing_keys])[:3]
        raise ValueError(f"the adapter does not fit the base: {odd}")
    return None


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _refuse_too_large(folder: Path, dtype: torch.dtype, device: str) -> None:
    needed, free = count_of_weights(folder) * dtype.itemsize, _free_bytes(device)
    if needed > free:
        raise ValueError(f"the weights need {needed >> 20} MiB, {free >> 20} MiB are free")


def _free_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(int(line.split()[1]) * 1024, _free_of_container())
    raise ValueError("the machine does not say how much memory is free")


def _free_of_container() -> int:
    """Free memory of the control group; a large number without a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        return int(limit) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 1 << 62
