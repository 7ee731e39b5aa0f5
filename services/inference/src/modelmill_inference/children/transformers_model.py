"""A causal language model of transformers: tokens in, logits and hidden states out (torch)."""

import copy
import inspect
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

PREFILL_TOKENS = 512
"""A long prompt is computed in pieces of so many, so that others have their turn in between."""
AGREEMENT = 0.05
"""Two computations of the same logits differ by less than this part of their length."""


class Memory:
    """What the model has read of one text."""

    def __init__(self, cache: Any | None) -> None:
        self.tokens: list[int] = []
        self.cache = cache
        """Keys and values; None where the model cannot go on from them."""

    def copy(self) -> "Memory":
        """One that can go on by itself."""
        twin = Memory(None)
        twin.tokens = list(self.tokens)
        if self.cache is not None:
            twin.cache = copy.copy(self.cache)
            twin.cache.layers = [_copy_layer(layer) for layer in self.cache.layers]
        return twin

    @property
    def size_bytes(self) -> int:
        """Of the keys and values."""
        layers = [] if self.cache is None else self.cache.layers
        tensors = [value for layer in layers for value in vars(layer).values()]
        return sum(value.nbytes for value in tensors if isinstance(value, Tensor))


def _copy_layer(layer: Any) -> Any:
    # These put new keys behind the old ones in a new tensor, so the old ones can be shared; other
    # layers write into their state.
    appends = type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
    return copy.copy(layer) if appends else copy.deepcopy(layer)


def _moved(cache: Any, device: str) -> Any:
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys.to(device), layer.values.to(device)
    return cache


class CausalModel:
    """A model that was tried out: ValueError when it is none that could generate."""

    def __init__(self, module: Any, device: str, beginning: Any | None = None) -> None:
        """`beginning` is a cache of keys and values that stand before every text."""
        self._module = module.eval().to(device)
        self._device = device
        self._beginning = None if beginning is None else _moved(beginning, device)
        self._keeps_logits = "logits_to_keep" in inspect.signature(module.forward).parameters
        self._remembers = True
        self.vocabulary = int(module.get_input_embeddings().weight.shape[0])
        self.bytes_per_token = 0
        self._prefill_tokens: int | None = None
        self._try_out()

    def new_memory(self) -> Memory:
        """One of no text."""
        return Memory(self._new_cache() if self._remembers else None)

    def piece(self, tokens: list[int]) -> list[int]:
        """What of `tokens` to read at once."""
        return tokens[: self._prefill_tokens]

    @torch.inference_mode()
    def read(self, tokens: list[int], memory: Memory, *, keep: int = 1) -> Tensor:
        """(keep, V) float32 logits on the CPU behind the last `keep` of `tokens`."""
        memory.tokens += tokens
        if memory.cache is None:
            return self._logits(memory.tokens, keep)
        return self._logits(tokens, keep, past_key_values=memory.cache, use_cache=True)

    @torch.inference_mode()
    def vector(self, tokens: list[int]) -> list[float]:
        """The mean of the last hidden states, scaled to length 1."""
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
        """Arguments for a text that is read at once and forgotten."""
        if self._beginning is None:
            return {"use_cache": False}
        return {"past_key_values": self._new_cache(), "use_cache": True}

    def _new_cache(self) -> Any:
        if self._beginning is None:
            return DynamicCache(config=self._module.config)
        memory = Memory(self._beginning)
        return memory.copy().cache

    def _ids(self, tokens: list[int]) -> Tensor:
        return torch.tensor([tokens], device=self._device)

    @torch.inference_mode()
    def _try_out(self) -> None:
        """See that the model generates, whether from a cache, and how large that becomes."""
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
            self.read(tokens[:1], memory)
            first_bytes = memory.size_bytes
            rest = self.read(tokens[1:], memory, keep=2)
        except (TypeError, ValueError, AttributeError, RuntimeError, IndexError):
            # Some models keep what they read in a form of their own.
            self._remembers = False
        else:
            self._remembers = first_bytes > 0 and _agree(rest, whole[1:])
        if self._remembers and memory.cache is not None:
            self.bytes_per_token = max((memory.size_bytes - first_bytes) // 2, 1)
            if all(isinstance(layer, DynamicLayer) for layer in memory.cache.layers):
                self._prefill_tokens = PREFILL_TOKENS


def _agree(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= AGREEMENT * other.norm())
