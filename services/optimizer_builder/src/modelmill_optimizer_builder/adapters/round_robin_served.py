"""Answers requests one token at a time in turn, as engines do that do not batch."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from modelmill_optimizer_builder.measure_load import OnStep


class TextReader(Protocol):
    """One text that is read on, with its own cache."""

    def read(self, tokens: Sequence[int]) -> int:
        """The likeliest token after these, which follow what was read before."""


class _Answer:
    """A request, and when its tokens were there."""

    def __init__(self, reader: TextReader, prompt: Sequence[int], new_tokens: int) -> None:
        self._reader = reader
        self._unread = list(prompt)
        self._new_tokens = new_tokens
        self.times: list[float] = []

    @property
    def is_done(self) -> bool:
        return len(self.times) == self._new_tokens

    def step(self, piece_tokens: int) -> None:
        """Read a piece of the prompt, or the last token."""
        piece, rest = self._unread[:piece_tokens], self._unread[piece_tokens:]
        token = self._reader.read(piece)
        self._unread = rest
        if not rest:
            self.times.append(time.perf_counter())
            self._unread = [token]


def answer_in_turn(
    readers: Sequence[TextReader],
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    piece_tokens: int,
    on_step: OnStep,
) -> list[list[float]]:
    """Times of the tokens of each answer; see `measure_load.ServedModel`.

    Args:
        piece_tokens: Of a prompt that are read at once, between which other requests run.
    """
    answers = [
        _Answer(reader, prompt, new_tokens) for reader, prompt in zip(readers, prompts, strict=True)
    ]
    running = deque(answers)
    while running:
        answer = running.popleft()
        on_step()
        answer.step(piece_tokens)
        if not answer.is_done:
            running.append(answer)
    return [answer.times for answer in answers]
