"""Runs requests one token at a time, round robin, without batching.

Requests share only the weights: each has its own key-value cache, random generator and forward
pass. An answer therefore never depends on other requests.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelmill_inference.children.runner import Slices, TokenUpdate
from modelmill_inference.children.sampler import Logits, Mask, Sampler, log_softmax, row_of


class DeadEndError(Exception):
    """A grammar allows no token of the model."""


class PieceReader(Protocol):
    """A model that reads texts in pieces."""

    vocabulary: int
    bytes_per_token: int
    """Of the key-value cache; 0 if unknown."""

    def new_memory(self, most_tokens: int) -> Any:
        """An empty state for a text of up to that many tokens.

        It has `length`, the tokens that were read, and `copy`, which gives the same state once
        more; one of both is read on at a time.
        """

    def piece(self, tokens: list[int]) -> list[int]:
        """The next chunk of `tokens`, between which other requests run."""

    def read(self, tokens: list[int], memory: Any, *, keep: int = 1) -> Logits:
        """(keep, V) logits after the last `keep` of `tokens`."""

    def vector(self, tokens: list[int]) -> list[float]:
        """Mean of the last hidden states, normalised."""

    def lacks_memory(self, error: Exception) -> bool:
        """Whether an error of `read` says that there is no memory for keys and values."""


class AnswerMask(Protocol):
    """Grammar state of one answer."""

    def allowed(self) -> Mask | None:
        """Tokens that may follow; None for all. Raises DeadEndError if none may."""

    def accept(self, token: int) -> bool:
        """Advance by a token; returns whether the answer is complete."""


NewMask = Callable[[str, list[int]], AnswerMask]
"""From a grammar and the tokens that end an answer; any exception means that it is invalid."""


def score_in_slices(
    model: PieceReader, prompt: list[int], continuations: list[list[int]]
) -> Slices[list[list[Any]]]:
    """`[log_likelihood, is_greedy]` per continuation; the prompt is computed once."""
    longest = len(prompt) + max(map(len, continuations))
    memory: Any = model.new_memory(longest)
    behind: Logits = np.zeros((0, 0), np.float32)
    while prompt:
        piece = model.piece(prompt)
        behind, prompt = model.read(piece, memory), prompt[len(piece) :]
        yield
    scores = []
    for tokens in continuations:
        scores.append((yield from _score(model, tokens, behind, memory.copy())))
    return scores


def _score(model: PieceReader, tokens: list[int], behind: Logits, memory: Any) -> Slices[list[Any]]:
    """Score one continuation; `behind` are the (1, V) logits after the prompt."""
    total, is_greedy, done, logits = 0.0, True, 0, behind
    while True:
        meant = np.array(tokens[done : done + len(logits)])
        places = np.arange(len(meant))
        total += float(log_softmax(logits.astype(np.float64))[places, meant].sum())
        is_greedy = is_greedy and bool((logits.argmax(axis=-1) == meant).all())
        done += len(logits)
        if done == len(tokens):
            return [total, is_greedy]
        piece = model.piece(tokens[done - 1 : -1])
        logits = model.read(piece, memory, keep=len(piece))
        yield


def embed_in_slices(model: PieceReader, texts: list[list[int]]) -> Slices[list[list[float]]]:
    """Embedding per text."""
    vectors = []
    for tokens in texts:
        vectors.append(model.vector(tokens))
        yield
    return vectors


class RoundRobinRunner:
    """`runner.Runner` on one model.

    Args:
        cache_bytes: key-value cache of all requests; further requests wait.
        new_mask: makes the grammar state of an answer.
    """

    def __init__(self, model: PieceReader, cache_bytes: int, new_mask: NewMask) -> None:
        self._model = model
        self._new_mask = new_mask
        self._room = cache_bytes
        """Unreserved bytes of the key-value cache."""
        self._all_room = cache_bytes
        self._waiting: deque[_Answer] = deque()
        """FIFO; each request reserves its maximum cache size."""
        self._running: deque[_Answer] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def add(self, add: dict[str, Any]) -> None:
        self._check(add["prompt"])
        self._waiting.append(_Answer(add, self._model, self._new_mask, self._all_room))

    def cancel(self, number: int) -> None:
        for answers in (self._running, self._waiting):
            for answer in [answer for answer in answers if answer.number == number]:
                answers.remove(answer)
                if answers is self._running:
                    self._room += answer.claim

    def step(self) -> list[TokenUpdate]:
        """One step of one request; calls alternate between requests."""
        while self._waiting and self._waiting[0].claim <= self._room:
            answer = self._waiting.popleft()
            self._room -= answer.claim
            self._running.append(answer)
        answer = self._running.popleft()
        updates = answer.step()
        if updates.end:
            self._room += answer.claim
        else:
            self._running.append(answer)
        return [updates] if updates.tokens or updates.end else []

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
    """A running request."""

    def __init__(
        self, add: dict[str, Any], model: PieceReader, new_mask: NewMask, all_room: int
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
        self._mask = new_mask(add["grammar"], self._end_tokens) if add["grammar"] else None
        # A reservation is capped at the whole cache: most answers end long before their limit.
        most = all_room // model.bytes_per_token if model.bytes_per_token else None
        wanted = len(self._unread) + self._left - 1
        self._most_tokens = wanted if most is None else min(wanted, most)
        self._memory: Any = model.new_memory(self._most_tokens)
        # A prompt that exceeds the cache fails in its first step, without waiting.
        may_begin = len(self._unread) <= self._most_tokens
        self.claim = self._most_tokens * model.bytes_per_token if may_begin else 0

    def step(self) -> TokenUpdate:
        """Process a prefill chunk, or generate a token."""
        piece = self._model.piece(self._unread)
        if self._memory.length + len(self._unread) > self._most_tokens:
            return TokenUpdate(self.number, [], "no_room", None)
        try:
            logits = self._model.read(piece, self._memory)[0]
        except (MemoryError, RuntimeError) as error:
            if not self._model.lacks_memory(error):
                raise
            return TokenUpdate(self.number, [], "no_room", None)
        self._unread = self._unread[len(piece) :]
        if self._unread:
            return TokenUpdate(self.number, [], None, None)
        return self._next_token(logits)

    def _next_token(self, logits: NDArray[np.float32]) -> TokenUpdate:
        is_whole = False
        try:
            allowed = None if self._mask is None else self._mask.allowed()
            token = self._sampler.draw(logits, allowed)
            is_whole = self._mask is not None and self._mask.accept(token)
        except DeadEndError:
            return TokenUpdate(self.number, [], "dead_end", None)
        self._unread = [token]
        self._left -= 1
        ends = token in self._end_tokens or is_whole
        end = "stop" if ends else None if self._left else "length"
        chosen = None
        if self._alternatives is not None:
            chosen = [row_of(logits, token, self._alternatives)]
        return TokenUpdate(self.number, [token], end, chosen)
