"""Python-backend model for Triton that scores and embeds batches of requests.

Triton's dynamic batcher gathers them; each is one JSON message of `runner` (`score` or `embed`) in
the BYTES tensor `request`, answered by one in the BYTES tensor `row`. Parameters, all strings:
`load` (JSON, as of the engine's) and `expire_seconds`.
"""

import json
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from modelmill_inference.children.hosted_runner import LEAVE_SECONDS
from modelmill_inference.children.openvino_reading import Reader
from modelmill_inference.children.triton_wire import leave, message_in, parameters_in, response_of

Message = dict[str, Any]
POLL_SECONDS = 1.0


class BatchedReader:
    """Answers a batch of `score` and `embed` messages of `runner` in few passes.

    Args:
        load: load message, as for `openvino.open_pipeline`.
    """

    def __init__(self, load: Message) -> None:
        self._reader = Reader(load)
        # Now, so that an unusable build is rejected at load.
        _finish(self._reader.embed([[0]]))

    def answer_all(self, messages: Sequence[Message]) -> list[Message]:
        """A `result` or `rejected` per message, in order; invalid ones do not affect others."""
        answers: list[Message | None] = [None] * len(messages)
        kinds: list[tuple[str, Callable[[list[Message]], list[Any]]]] = [
            ("embed", self._embed_all),
            ("score", self._score_all),
        ]
        for order, read in kinds:
            places = [place for place, message in enumerate(messages) if order in message]
            bodies = [messages[place][order] for place in places]
            for place, answer in zip(places, _isolated(read, bodies), strict=True):
                answers[place] = answer
        return [
            answer or {"rejected": [0, "the message is neither score nor embed"]}
            for answer in answers
        ]

    def _embed_all(self, bodies: list[Message]) -> list[Any]:
        texts = [text for body in bodies for text in body["texts"]]
        vectors = iter(_finish(self._reader.embed(texts)))
        return [[next(vectors) for _ in body["texts"]] for body in bodies]

    def _score_all(self, bodies: list[Message]) -> list[Any]:
        """Continuations of one prompt share its computation; other prompts form a batch."""
        by_prompt: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for place, body in enumerate(bodies):
            for number in range(len(body["continuations"])):
                by_prompt.setdefault(tuple(body["prompt"]), []).append((place, number))
        scores: dict[tuple[int, int], list[Any]] = {}
        single = []
        for prompt, wanted in by_prompt.items():
            if len(wanted) == 1:
                single += wanted
                continue
            targets = [bodies[place]["continuations"][number] for place, number in wanted]
            rows = _finish(self._reader.score(list(prompt), targets))
            scores |= dict(zip(wanted, rows, strict=True))
        pairs = [
            (bodies[place]["prompt"], bodies[place]["continuations"][number])
            for place, number in single
        ]
        if pairs:
            scores |= dict(zip(single, _finish(self._reader.score_pairs(pairs)), strict=True))
        return [
            [scores[place, number] for number in range(len(body["continuations"]))]
            for place, body in enumerate(bodies)
        ]


def _isolated(read: Callable[[list[Message]], list[Any]], bodies: list[Message]) -> list[Message]:
    """Process all at once; on failure one by one, so that only invalid ones are rejected."""
    if not bodies:
        return []
    try:
        results = read(bodies)
    except Exception as error:
        if len(bodies) > 1:
            return [answer for body in bodies for answer in _isolated(read, [body])]
        reason = (str(error) or repr(error)).splitlines()[0]
        return [{"rejected": [bodies[0].get("id", 0), reason]}]
    return [
        {"result": [body.get("id", 0), result]}
        for body, result in zip(bodies, results, strict=True)
    ]


def _finish(work: Generator[None, None, Any]) -> Any:
    """Run all slices."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


class TritonPythonModel:
    """Model class of the Python backend, which calls these methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; an error is returned to the caller of the load."""
        told = parameters_in(args)
        self._reader = BatchedReader(json.loads(told["load"]))
        self._expire_seconds = float(told.get("expire_seconds", 0))
        self._last_message = time.monotonic()
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
        """Called when Triton unloads the model."""
        self._ending.set()

    def _answer_at_once(self, message: Message) -> Message | None:
        if "describe" in message:
            return {"loaded": True}
        self._last_message = time.monotonic()
        if "leave" in message:
            self._expire_seconds = LEAVE_SECONDS
            return {"tokens": []}
        return {"tokens": []} if "ping" in message else None

    def _expire(self) -> None:
        while not self._ending.wait(POLL_SECONDS):
            if (
                self._expire_seconds
                and time.monotonic() - self._last_message > self._expire_seconds
            ):
                leave()
