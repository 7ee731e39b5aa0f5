"""Which token comes next: penalties, temperature, top-k, top-p, and a draw of one's own (torch)."""

from typing import Any

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

MIN_TEMPERATURE = 0.001
"""Below it logits overflow when they are divided; 0 itself is greedy."""


class Sampler:
    """Draws the tokens of one answer; nothing but the request and its seed decides.

    The repetition penalty counts prompt and answer, presence and frequency the answer alone. What
    a token costs does not grow with what was read before it.
    """

    def __init__(self, add: dict[str, Any], vocabulary: int) -> None:
        self._said = torch.zeros(vocabulary, dtype=torch.bool)
        self._said[torch.tensor(add["prompt"])] = True
        self._counts = torch.zeros(vocabulary)
        self._presence: float = add["presence_penalty"]
        self._frequency: float = add["frequency_penalty"]
        self._repetition = float(add["repetition_penalty"])
        self._warpers: Any = _warpers(add)
        self._generator = torch.Generator()
        self._generator.manual_seed(add["seed"])

    def draw(self, logits: Tensor) -> int:
        """One of the V tokens; `logits` are left as they are."""
        scores = self._penalised(logits)
        scores -= self._presence * (self._counts > 0) + self._frequency * self._counts
        if self._warpers is None:
            token = int(scores.argmax())
        else:
            warped = self._warpers(None, scores[None])[0]
            token = int(torch.multinomial(warped.softmax(0), 1, generator=self._generator))
        self._counts[token] += 1
        self._said[token] = True
        return token

    def _penalised(self, logits: Tensor) -> Tensor:
        """A copy in which what was said is less likely: as transformers' processor has it."""
        if self._repetition == 1:
            return logits.clone()
        weaker = torch.where(logits < 0, logits * self._repetition, logits / self._repetition)
        return torch.where(self._said, weaker, logits)


def _warpers(add: dict[str, Any]) -> LogitsProcessorList | None:
    """None where the likeliest token is taken; ValueError for what cannot be followed."""
    temperature = float(add["temperature"])
    if temperature == 0:
        return None
    if temperature < MIN_TEMPERATURE:
        raise ValueError(f"temperature must be 0 or at least {MIN_TEMPERATURE}")
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if add["top_k"]:
        warpers.append(TopKLogitsWarper(add["top_k"]))
    if add["top_p"] != 1:
        warpers.append(TopPLogitsWarper(float(add["top_p"])))
    return warpers


def row_of(logits: Tensor, token: int, alternatives: int) -> list[Any]:
    """`[logprob, [[token, logprob], ...]]` by what the model itself thinks."""
    logprobs = logits.log_softmax(0)
    likely = logprobs.topk(min(alternatives, len(logprobs)))
    pairs = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    return [float(logprobs[token]), [list(pair) for pair in pairs]]
