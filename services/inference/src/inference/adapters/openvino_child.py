"""The engine's own process: OpenVINO GenAI with continuous batching, one pipeline, no asyncio.

`step()` holds the interpreter's lock and a single bad request can spoil the pipeline for all, so it
runs here, alone. Any error in `step()` ends the process: a pipeline never recovers from one, and
the parent starts a new one.

In, one JSON object a line: `{"load": {...}}` first, then `{"add": {...}}` and `{"cancel": id}`.
Out: `{"loaded": true}` or `{"refused": why}`; then `{"tokens": [[id, [token, ...], end], ...]}`
where `end` is null, "stop", "length" or "no_room", and `{"rejected": [id, why]}`.
"""

import json
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import openvino_genai as genai
from openvino import Tensor

READ_BYTES = 1 << 16
SIGN_OF_LIFE_SECONDS = 1.0
"""Steps that yield nothing (a long prefill) are reported this often, so that a hang is one."""


class ParentGoneError(Exception):
    """Nobody is there to generate for."""


class ParentSocket:
    """Lines from and to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise ParentGoneError from error

    def receive(self, *, wait: bool) -> Iterator[dict[str, Any]]:
        """Messages that are there; with `wait` at least one comes."""
        while b"\n" not in self._rest:
            if not wait and not select.select([self._socket], [], [], 0)[0]:
                return
            received = self._read()
            if not received:
                raise ParentGoneError
            self._rest += received
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            yield json.loads(line)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(READ_BYTES)
        except OSError as error:
            raise ParentGoneError from error


def open_pipeline(load: dict[str, Any]) -> genai.ContinuousBatchingPipeline:
    """The pipeline as `openvino_process.OpenVinoKind` describes it."""
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = load["cache_gigabytes"]
    scheduler.max_num_seqs = load["max_sequences"]
    scheduler.enable_prefix_caching = load["prefix_cache"]
    return genai.ContinuousBatchingPipeline(
        load["folder"], scheduler, load["device"], load["properties"]
    )


def generation_config(add: dict[str, Any]) -> genai.GenerationConfig:
    """Greedy when the temperature is 0; ends at any of the model's end tokens."""
    config = genai.GenerationConfig()
    config.max_new_tokens = add["max_new_tokens"]
    config.stop_token_ids = set(add["eos_ids"])
    if add["temperature"] > 0:
        config.do_sample = True
        config.temperature = add["temperature"]
        config.top_p = add["top_p"]
        config.rng_seed = add["seed"]
    return config


class Batch:
    """The requests in the pipeline and what they are told."""

    def __init__(self, pipeline: genai.ContinuousBatchingPipeline, parent: ParentSocket) -> None:
        self._pipeline = pipeline
        self._parent = parent
        self._live: dict[int, Any] = {}
        self._last_word = time.monotonic()

    def run(self) -> None:
        """Obey, step, tell; until the parent is gone or a step fails."""
        while True:
            idle = not self._pipeline.has_non_finished_requests()
            for message in self._parent.receive(wait=idle):
                self._obey(message)
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            self._tell()

    def _obey(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            handle = self._live.pop(message["cancel"], None)
            if handle is not None:
                handle.cancel()
            return
        add = message["add"]
        try:
            prompt = Tensor([add["prompt"]])
            handle = self._pipeline.add_request(add["id"], prompt, generation_config(add))
        except Exception as error:
            # Refused before it was scheduled, which harms nobody else.
            self._parent.send({"rejected": [add["id"], str(error).splitlines()[0]]})
        else:
            self._live[add["id"]] = handle

    def _tell(self) -> None:
        news = []
        for number, handle in list(self._live.items()):
            tokens, end = read(handle)
            if tokens or end:
                news.append([number, tokens, end])
            if end:
                del self._live[number]
        now = time.monotonic()
        if news or now - self._last_word > SIGN_OF_LIFE_SECONDS:
            self._parent.send({"tokens": news})
            self._last_word = now


def read(handle: Any) -> tuple[list[int], str | None]:
    """New tokens of a request and how it ended, if it did."""
    status = handle.get_status()
    tokens: list[int] = []
    reason = None
    while handle.can_read():
        for output in handle.read().values():
            tokens += output.generated_ids
            reason = output.finish_reason
    if status == genai.GenerationStatus.RUNNING:
        return tokens, None
    if status != genai.GenerationStatus.FINISHED:
        return tokens, "no_room"
    return tokens, "length" if reason == genai.GenerationFinishReason.LENGTH else "stop"


def main() -> None:
    # The parent's group gets Ctrl-C and SIGTERM too, but requests in hand are to be finished:
    # the parent hangs up when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = ParentSocket(int(sys.argv[1]))
    try:
        load = next(parent.receive(wait=True))["load"]
        try:
            pipeline = open_pipeline(load)
        except Exception as error:
            parent.send({"refused": str(error)})
            return
        parent.send({"loaded": True})
        Batch(pipeline, parent).run()
    except ParentGoneError:
        return


if __name__ == "__main__":
    main()
