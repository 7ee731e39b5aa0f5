"""Reads texts with an ONNX build as the onnx engine does, for checks, scores and rates."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime_genai
from modelmill_evaluation.choices import ChoiceQuestion
from numpy.typing import NDArray

from modelmill_optimizer_builder.adapters.choice_search import (
    CANDIDATES,
    BestChoiceSearch,
    log_softmax,
    shared_prefix,
    token_likelihoods,
)
from modelmill_optimizer_builder.adapters.merged_model import Logits
from modelmill_optimizer_builder.adapters.speed_rounds import NEW_TOKENS

PIECE_TOKENS = 128
"""Tokens of a pass: the logits of each are computed, which are many for a large vocabulary."""


class OnnxReader:
    """One text at a time, whose cache of keys and values can go back."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = onnxruntime_genai.Model(str(folder))
        self._most_tokens = 0
        self._generator: Any = None

    def begin(self, most_tokens: int) -> None:
        """Forget all, and make room for texts of that many tokens."""
        parameters: Any = onnxruntime_genai.GeneratorParams(self._model)
        parameters.set_search_options(max_length=most_tokens)
        self._generator = onnxruntime_genai.Generator(self._model, parameters)
        self._most_tokens = most_tokens

    def go_back(self, tokens: int) -> None:
        """Forget what follows the first `tokens` tokens."""
        if tokens == 0:
            self.begin(self._most_tokens)
        else:
            self._generator.rewind_to(tokens)

    def read(self, tokens: Sequence[int], keep: int = 1) -> NDArray[np.float32]:
        """[keep, vocabulary] logits after the last `keep` of these tokens."""
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), PIECE_TOKENS):
            piece = tokens[start : start + PIECE_TOKENS]
            self._generator.append_tokens(np.array(piece, np.int32))
            wanted = min(len(piece), keep - (len(tokens) - start - len(piece)))
            if wanted > 0:
                found.append(self._generator.get_output("logits")[0, -wanted:])
        return np.concatenate(found)


def steps_logits(reader: OnnxReader, prompt: Sequence[int], tokens: Sequence[int]) -> Logits:
    """(P, V) logits after a prompt and along the tokens that follow it, one token a step."""
    reader.begin(len(prompt) + len(tokens))
    rows, read = [], list(prompt)
    for token in tokens:
        rows.append(reader.read(read)[0])
        read = [token]
    return np.stack(rows)


def served_logits(
    folder: Path, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Iterator[Logits]:
    """The same of each prompt and its continuation."""
    reader = OnnxReader(folder)
    for prompt, continuation in zip(prompts, continuations, strict=True):
        yield steps_logits(reader, prompt, continuation)


def choice_scores(folder: Path, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
    """Summed log-likelihoods of the choices of each question, in order.

    A choice that cannot win has the log-likelihood of its first token, an upper bound of its sum.
    """
    reader = OnnxReader(folder)
    prefix = shared_prefix([question.prompt_ids for question in questions])
    reader.begin(max(_length(question) for question in questions))
    if prefix:
        reader.read(prefix)
    for question in questions:
        reader.go_back(len(prefix))
        first = reader.read(question.prompt_ids[len(prefix) :])
        search = BestChoiceSearch([question], log_softmax(first))
        follow = CANDIDATES
        while entries := search.next_entries(follow):
            for row, choice in entries:
                tokens = question.choices[choice]
                reader.go_back(len(question.prompt_ids))
                likely = log_softmax(reader.read(tokens[:-1], keep=len(tokens) - 1))
                rest = likely[np.arange(len(tokens) - 1), tokens[1:]].sum()
                search.finish(row, choice, float(rest))
            follow *= 2
        yield search.scores[0]


def text_likelihoods(folder: Path, texts: Sequence[Sequence[int]]) -> Iterator[list[float]]:
    """Log-likelihood of each token of each text after its first."""
    reader = OnnxReader(folder)
    for text in texts:
        reader.begin(len(text))
        logits = reader.read(text[:-1], keep=len(text) - 1)
        yield token_likelihoods(logits, text[1:])


def _length(question: ChoiceQuestion) -> int:
    return len(question.prompt_ids) + max(map(len, question.choices))


def speed_of(folder: Path) -> Callable[[Sequence[int]], float]:
    """The build as an engine of `speed_rounds.rates_by_round`."""
    reader = OnnxReader(folder)

    def answer(prompt: Sequence[int]) -> float:
        started = perf_counter()
        reader.begin(len(prompt) + NEW_TOKENS)
        read = list(prompt)
        for _ in range(NEW_TOKENS):
            read = [int(reader.read(read)[0].argmax())]
        return NEW_TOKENS / (perf_counter() - started)

    return answer
