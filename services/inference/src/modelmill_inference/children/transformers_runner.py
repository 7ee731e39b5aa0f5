"""Any causal model of transformers, each request alone, in turn (torch).

Nothing is shared between requests but the weights: each has its own keys and values, its own
generator, and a forward pass of its own. Slow, and the same whatever else is asked for.
"""

from collections import deque
from pathlib import Path
from typing import Any

import torch

from modelmill_inference.children.runner import News, Slices
from modelmill_inference.children.transformers_grammar import DeadEndError, Grammars
from modelmill_inference.children.transformers_model import CausalModel
from modelmill_inference.children.transformers_opening import open_model
from modelmill_inference.children.transformers_reading import embed_in_slices, score_in_slices
from modelmill_inference.children.transformers_sampling import Sampler, row_of


class TransformersRunner:
    """`runner.Runner` by one model."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._model = open_model(load)
        self._grammars = Grammars(Path(load["folder"]), self._model.vocabulary)
        self._room: int = load["cache_bytes"]
        """Bytes of keys and values that requests have not claimed."""
        self._all_room = self._room
        self._waiting: deque[_Answer] = deque()
        """In the order that they came; each claims all that it can come to need."""
        self._turns: deque[_Answer] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._turns or self._waiting)

    def add(self, add: dict[str, Any]) -> None:
        self._check(add["prompt"])
        self._waiting.append(_Answer(add, self._model, self._grammars, self._all_room))

    def cancel(self, number: int) -> None:
        for answers in (self._turns, self._waiting):
            for answer in [answer for answer in answers if answer.number == number]:
                answers.remove(answer)
                if answers is self._turns:
                    self._room += answer.claim

    def step(self) -> list[News]:
        """One step of one request; the next call is the next one's."""
        while self._waiting and self._waiting[0].claim <= self._room:
            answer = self._waiting.popleft()
            self._room -= answer.claim
            self._turns.append(answer)
        answer = self._turns.popleft()
        news = answer.step()
        if news.end:
            self._room += answer.claim
        else:
            self._turns.append(answer)
        return [news] if news.tokens or news.end else []

    def score(self, prompt: list[int], continuations: list[list[int]]) -> Slices[list[list[Any]]]:
        for tokens in (prompt, *continuations):
            self._check(tokens)
        longest = len(prompt) + max(map(len, continuations))
        if longest * self._model.bytes_per_token > self._all_room:
            raise ValueError("there is no room for the keys and values of these texts")
        return score_in_slices(self._model, prompt, continuations)

    def embed(self, texts: list[list[int]]) -> Slices[list[list[float]]]:
        for tokens in texts:
            self._check(tokens)
        return embed_in_slices(self._model, texts)

    def _check(self, tokens: list[int]) -> None:
        if not tokens:
            raise ValueError("there are no tokens to read")
        if not all(0 <= token < self._model.vocabulary for token in tokens):
            raise ValueError("a token is outside the vocabulary")


class _Answer:
    """A request, from its prompt to its last token."""

    def __init__(
        self, add: dict[str, Any], model: CausalModel, grammars: Grammars, all_room: int
    ) -> None:
        self.number: int = add["id"]
        self._model = model
        self._left: int = add["max_new_tokens"]
        if self._left < 1:
            raise ValueError("there is no token to generate")
        self._unread: list[int] = add["prompt"]
        self._end_tokens: list[int] = add["eos_ids"]
        self._alternatives: int | None = add["logprobs"]
        self._sampler = Sampler(add, model.vocabulary)
        self._mask = grammars.mask(add["grammar"], self._end_tokens) if add["grammar"] else None
        self._memory = model.new_memory()
        # A claim for all that is allowed, for which there may never be room, is one for all there
        # is: most answers end long before.
        most = all_room // model.bytes_per_token if model.bytes_per_token else None
        wanted = len(self._unread) + self._left - 1
        self._most_tokens = wanted if most is None else min(wanted, most)
        # One that cannot even begin is told so in its first turn, for which it need not wait.
        may_begin = len(self._unread) <= self._most_tokens
        self.claim = self._most_tokens * model.bytes_per_token if may_begin else 0

    def step(self) -> News:
        """A piece of the prompt, or a token."""
        piece = self._model.piece(self._unread)
        if len(self._memory.tokens) + len(self._unread) > self._most_tokens:
            return News(self.number, [], "no_room", None)
        try:
            logits = self._model.read(piece, self._memory)[0]
        except (MemoryError, RuntimeError) as error:
            if not _is_want_of_memory(error):
                raise
            return News(self.number, [], "no_room", None)
        self._unread = self._unread[len(piece) :]
        if self._unread:
            return News(self.number, [], None, None)
        return self._go_on(logits)

    def _go_on(self, logits: torch.Tensor) -> News:
        is_whole = False
        try:
            allowed = logits if self._mask is None else self._mask.apply(logits)
            token = self._sampler.draw(allowed)
            is_whole = self._mask is not None and self._mask.accept(token)
        except DeadEndError:
            return News(self.number, [], "dead_end", None)
        self._unread = [token]
        self._left -= 1
        ends = token in self._end_tokens or is_whole
        end = "stop" if ends else None if self._left else "length"
        chosen = None
        if self._alternatives is not None:
            chosen = [row_of(logits, token, self._alternatives)]
        return News(self.number, [token], end, chosen)


def _is_want_of_memory(error: Exception) -> bool:
    # On a CPU torch has no class of its own for it.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "can't allocate memory" in str(error)
    )
