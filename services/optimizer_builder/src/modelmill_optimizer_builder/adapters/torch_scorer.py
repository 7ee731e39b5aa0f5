"""Scores answer choices with a torch module, for forms that no engine here runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from modelmill_evaluation.choices import ChoiceQuestion
from torch import Tensor

from modelmill_optimizer_builder.make_build import Side


class TorchSides:
    """Scorers of a build and its reference, of which one is in memory at a time.

    Args:
        load: The module of a side in float32; each is as large as the model.
    """

    def __init__(self, load: Callable[[Side], Any]) -> None:
        self._load = load
        self._last: tuple[Side, TorchScorer] | None = None

    def of(self, side: Side) -> "TorchScorer":
        """The scorer of a side."""
        if self._last is None or self._last[0] != side:
            self._last = None
            self._last = side, TorchScorer(self._load(side))
        return self._last[1]


class TorchScorer:
    """Log-likelihoods by a causal language model in float32; the prompt is read once a question."""

    def __init__(self, module: Any) -> None:
        self._module = module

    @torch.inference_mode()
    def scores(self, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        """Log-likelihoods of the choices of each question, in order."""
        for question in questions:
            yield self._score(question)

    @torch.inference_mode()
    def likelihoods(self, texts: Sequence[Sequence[int]]) -> Iterator[list[float]]:
        """Log-likelihood of each token of each text after its first."""
        for text in texts:
            logits = self._module(torch.tensor([text[:-1]]), use_cache=False).logits[0]
            likely = torch.log_softmax(logits.float(), -1)
            found: list[float] = likely.gather(-1, torch.tensor(text[1:])[:, None])[:, 0].tolist()
            yield found

    def _score(self, question: ChoiceQuestion) -> Sequence[float]:
        prompt = torch.tensor([question.prompt_ids])
        read = self._module(prompt, use_cache=True, logits_to_keep=1)
        first = torch.log_softmax(read.logits[0, -1].float(), -1)
        longest = max(map(len, question.choices))
        totals = torch.stack([first[choice[0]] for choice in question.choices])
        if longest > 1:
            cache = read.past_key_values
            cache.batch_repeat_interleave(len(question.choices))
            totals = totals + self._rest(question.choices, longest, cache)
        scores: list[float] = totals.tolist()
        return scores

    def _rest(self, choices: Sequence[Sequence[int]], longest: int, cache: Any) -> Tensor:
        """What the tokens after the first add, for each choice."""
        # What pads a shorter choice is read behind it, and so changes nothing of it.
        padded = torch.tensor([[*choice, *[0] * (longest - len(choice))] for choice in choices])
        logits = self._module(padded[:, :-1], past_key_values=cache, use_cache=True).logits
        chosen = torch.log_softmax(logits.float(), -1).gather(-1, padded[:, 1:, None])[..., 0]
        lengths = torch.tensor([len(choice) - 1 for choice in choices])
        counts = torch.arange(longest - 1)[None] < lengths[:, None]
        return (chosen * counts).sum(-1)
