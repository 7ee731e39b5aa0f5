"""Scores and vectors on Triton: a Python model that is given several requests at a time.

Triton's dynamic batcher gathers them; each is one JSON message of `runner` (`score` or `embed`) in
the BYTES tensor `request`, answered by one in the BYTES tensor `row`. Parameters, all strings:
`load` (JSON, as of the engine's) and `expire_seconds`.
"""

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from modelmill_inference.children.batched_reading import BatchedReader, Message
from modelmill_inference.children.hosted_runner import LEAVE_SECONDS
from modelmill_inference.children.triton_wire import leave, message_in, parameters_in, response_of

LOOK_SECONDS = 1.0


class TritonPythonModel:
    """Triton's side; it calls these three methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; an error is what the caller of Triton's load is told."""
        told = parameters_in(args)
        self._reader = BatchedReader(json.loads(told["load"]))
        self._expire_seconds = float(told.get("expire_seconds", 0))
        self._heard = time.monotonic()
        self._ending = threading.Event()
        threading.Thread(target=self._expire, name="expires", daemon=True).start()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests."""
        answers: list[Message | None] = []
        read = []
        for request in requests:
            try:
                answers.append(self._answer_at_once(message_in(request)))
            except ValueError as error:
                answers.append({"rejected": [0, str(error)]})
            if answers[-1] is None:
                read.append(message_in(request))
        results = iter(self._reader.answer_all(read))
        return [
            response_of(next(results) if answer is None else answer, shape=(1, 1))
            for answer in answers
        ]

    def finalize(self) -> None:
        """End it; Triton unloads the model."""
        self._ending.set()

    def _answer_at_once(self, message: Message) -> Message | None:
        if "describe" in message:
            return {"loaded": True}
        self._heard = time.monotonic()
        if "leave" in message:
            self._expire_seconds = LEAVE_SECONDS
            return {"tokens": []}
        return {"tokens": []} if "ping" in message else None

    def _expire(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            if self._expire_seconds and time.monotonic() - self._heard > self._expire_seconds:
                leave()
