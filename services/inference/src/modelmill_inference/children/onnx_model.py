"""Runs ONNX builds with ONNX Runtime GenAI (imports the library)."""

import json
import os
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read as the library is loaded

import numpy as np
import onnxruntime_genai as genai
from numpy.typing import NDArray

from modelmill_inference.children.onnx_folder import check_onnx_folder
from modelmill_inference.children.sampler import Logits

PIECE_TOKENS = 128
"""Chunk size of prefill, between which other requests run. All logits of a chunk are computed."""
HIDDEN = "hidden_states"
NO_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
PROBE = 3


class OnnxMemory:
    """State of one text. Copies share a cache, which goes back to what they have in common."""

    def __init__(self, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self.length = 0
        self.generator: Any = None
        """Made when the text is first read: it allocates keys and values."""

    def copy(self) -> "OnnxMemory":
        """The same state; what was read of another copy since is forgotten when this is read on."""
        twin = OnnxMemory(self.most_tokens)
        twin.length, twin.generator = self.length, self.generator
        return twin


class OnnxModel:
    """A model that passed a test run; see `round_robin.PieceReader`.

    GenAI's own sampling is not used: it has neither penalties of presence and frequency nor
    log-probabilities, and ends at one token.

    Raises:
        ValueError: the folder is not that of a build, or the model cannot generate.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        sizes = check_onnx_folder(folder)
        self.vocabulary = sizes.vocabulary
        self.bytes_per_token = sizes.bytes_per_token
        self._context_tokens = sizes.context_tokens
        config = genai.Config(str(folder))
        if threads:
            session = {"session_options": {"intra_op_num_threads": threads}}
            config.overlay(json.dumps({"model": {"decoder": session}}))
        self._model: Any = genai.Model(config)
        self._try_out()

    def new_memory(self, most_tokens: int) -> OnnxMemory:
        """An empty state for a text of up to that many tokens."""
        return OnnxMemory(most_tokens)

    def piece(self, tokens: list[int]) -> list[int]:
        """The next prefill chunk of `tokens`."""
        return tokens[:PIECE_TOKENS]

    def read(self, tokens: list[int], memory: OnnxMemory, *, keep: int = 1) -> Logits:
        """(keep, V) logits after the last `keep` of `tokens`."""
        logits: Logits = self._read(tokens, memory).get_output("logits")[0, -keep:]
        return logits

    def vector(self, tokens: list[int]) -> list[float]:
        """Mean of the last hidden states, normalised."""
        memory, total = OnnxMemory(len(tokens)), np.zeros(1)
        for start in range(0, len(tokens), PIECE_TOKENS):
            generator = self._read(tokens[start : start + PIECE_TOKENS], memory)
            hidden: NDArray[np.float32] = generator.get_output(HIDDEN)[0]
            total = total + hidden.sum(axis=0, dtype=np.float64)
        # Normalisation makes dividing by the token count unnecessary.
        vector: list[float] = (total / np.linalg.norm(total)).tolist()
        return vector

    def lacks_memory(self, error: Exception) -> bool:
        """Whether an error says that there is no memory."""
        return isinstance(error, MemoryError) or any(said in str(error) for said in NO_MEMORY)

    def _read(self, tokens: list[int], memory: OnnxMemory) -> Any:
        if memory.generator is None:
            memory.generator = self._generator(memory.most_tokens)
        elif memory.generator.token_count() != memory.length:
            memory.generator.rewind_to(memory.length)
        memory.generator.append_tokens(np.array(tokens, np.int32))
        memory.length += len(tokens)
        return memory.generator

    def _generator(self, most_tokens: int) -> Any:
        parameters = genai.GeneratorParams(self._model)
        # One token must fit at least; more than the context the library refuses.
        most = max(1, min(most_tokens, self._context_tokens))
        parameters.set_search_options(max_length=most)
        return genai.Generator(self._model, parameters)

    def _try_out(self) -> None:
        tokens = [0, self.vocabulary // 2, self.vocabulary - 1]
        memory = OnnxMemory(PROBE)
        logits = self._read(tokens, memory).get_output("logits")
        if logits.shape != (1, PROBE, self.vocabulary) or not np.isfinite(logits).all():
            raise ValueError("the model's logits are not numbers, or not one for each token")
        hidden = memory.generator.get_output(HIDDEN)
        if hidden.ndim != 3 or hidden.shape[1] != PROBE:
            raise ValueError("the model's hidden states are not one for each token")
