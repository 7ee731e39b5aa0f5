"""An engine with continuous batching, in SimPy; with one sequence it answers one at a time.

In each step every running answer gets a token, and prompts that joined are computed in chunks. The
budget and queue are those of inference's admission: room is held for the whole prompt and the
longest answer, so that the engine itself never has to take a running answer out again. Steps in
which nothing joins and nothing ends are one event.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import simpy

from modelmill_capacity.measurements import EngineTimes

ROUNDING = 1e-9


@dataclass(slots=True, eq=False)
class SimulatedRequest:
    """One request, and what became of it; times are None as long as nothing did."""

    prompt_tokens: int
    output_tokens: int
    arrived: float
    first_token: float | None = None
    """Its text may have been held back for some steps."""
    ended: float | None = None
    refused: bool = False
    generated: int = 0
    """Before a replica was lost; computed again with the prompt."""
    finished: simpy.Event | None = None
    prompt_left: int = 0


@dataclass(eq=False)
class SimulatedEngine:
    """One replica."""

    env: simpy.Environment
    times: EngineTimes
    room_tokens: int
    """Held for one request: its prompt and the longest answer."""
    busy_seconds: float = 0.0
    is_draining: bool = False
    _waiting: deque[SimulatedRequest] = field(default_factory=deque)
    _joining: deque[SimulatedRequest] = field(default_factory=deque)
    """Their prompts are being computed."""
    _running: list[tuple[int, int, SimulatedRequest]] = field(default_factory=list)
    """A heap by the step in which each ends."""
    _silent: list[tuple[int, int, SimulatedRequest]] = field(default_factory=list)
    """A heap of those that run and had no text yet, by the step in which it comes."""
    _step: int = 0
    _order: Callable[[], int] = field(default_factory=lambda: count().__next__)
    _sleeps: simpy.Event | None = None
    _is_decoding: bool = False
    _pace: tuple[float, float] | None = None
    """While several steps are one event: when they began, and the seconds of each."""

    def __post_init__(self) -> None:
        self.slots = min(self.times.sequences, self.times.tokens // max(1, self.room_tokens))
        self._process = self.env.process(self._work())

    @property
    def in_flight(self) -> int:
        """Requests that wait or run."""
        return len(self._waiting) + self.active

    @property
    def active(self) -> int:
        """Requests that run."""
        return len(self._joining) + len(self._running)

    def submit(self, request: SimulatedRequest) -> bool:
        """Take a request, unless the queue is full."""
        if self.active >= self.slots and len(self._waiting) >= self.times.waiting:
            return False
        self._waiting.append(request)
        if self._sleeps is not None:
            self._sleeps.succeed()
            self._sleeps = None
        elif self._is_decoding and self.active < self.slots:
            self._is_decoding = False
            self._process.interrupt()
        return True

    def lose(self) -> list[SimulatedRequest]:
        """End at once, as a machine that is taken away; returns what was not ended."""
        unfinished = [*self._waiting, *self._joining]
        step = self._step + self._elapsed_steps()
        for ends, _, request in self._running:
            request.generated = request.output_tokens - max(1, ends - step)
            unfinished.append(request)
        self._waiting.clear()
        self._joining.clear()
        self._running.clear()
        self._silent.clear()
        if self._process.is_alive:
            self._process.interrupt("lost")
        return unfinished

    def _elapsed_steps(self) -> int:
        """Whole ones of the event that goes on."""
        if self._pace is None:
            return 0
        began, seconds = self._pace
        return math.floor((self.env.now - began) / seconds + ROUNDING)

    def _work(self) -> Generator[simpy.Event, Any, None]:
        try:
            while True:
                self._admit()
                if self._joining:
                    yield from self._prefill()
                elif self._running:
                    yield from self._decode()
                else:
                    self._sleeps = self.env.event()
                    yield self._sleeps
        except simpy.Interrupt:
            return  # lost

    def _admit(self) -> None:
        while self._waiting and self.active < self.slots:
            request = self._waiting.popleft()
            request.prompt_left = request.prompt_tokens + request.generated
            self._joining.append(request)

    def _prefill(self) -> Generator[simpy.Event, Any, None]:
        """One step that also computes a chunk of prompts."""
        left, done = self.times.chunk_tokens, 0
        for request in self._joining:
            taken = min(left, request.prompt_left)
            request.prompt_left -= taken
            left -= taken
            if request.prompt_left:
                break
            done += 1
        tokens = self.times.chunk_tokens - left
        seconds = self.times.step_seconds(len(self._running) + done)
        yield from self._pass(seconds + tokens * self.times.prompt_token_seconds)
        self._step += 1
        for _ in range(done):
            request = self._joining.popleft()
            ends = self._step + request.output_tokens - request.generated - 1
            if request.first_token is None:
                text = min(self._step + self.times.held_tokens, ends)
                heapq.heappush(self._silent, (text, self._order(), request))
            heapq.heappush(self._running, (ends, self._order(), request))
        self._tell()

    def _decode(self) -> Generator[simpy.Event, Any, None]:
        """Steps until one ends or has its first text, or the step in which somebody comes."""
        seconds = self.times.step_seconds(len(self._running))
        next_text = self._silent[0][0] if self._silent else math.inf
        steps, began = int(min(self._running[0][0], next_text)) - self._step, self.env.now
        self._pace = began, seconds
        try:
            self._is_decoding = True
            yield from self._pass(steps * seconds)
            self._is_decoding = False
        except simpy.Interrupt as interrupt:
            if interrupt.cause is not None:
                raise
            steps = max(1, math.ceil((self.env.now - began) / seconds - ROUNDING))
            yield from self._pass(max(0.0, began + steps * seconds - self.env.now))
        self._pace = None
        self._step += steps
        self._tell()

    def _pass(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        began = self.env.now
        try:
            yield self.env.timeout(seconds)
        finally:
            self.busy_seconds += self.env.now - began

    def _tell(self) -> None:
        """Whose first text and whose end came with this step; an end brings what was held back."""
        while self._silent and self._silent[0][0] <= self._step:
            heapq.heappop(self._silent)[2].first_token = self.env.now
        while self._running and self._running[0][0] <= self._step:
            request = heapq.heappop(self._running)[2]
            request.ended = self.env.now
            if request.finished is not None:
                request.finished.succeed()
