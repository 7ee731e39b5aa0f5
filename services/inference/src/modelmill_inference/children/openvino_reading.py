"""What an OpenVINO build makes of texts that are there already: likelihoods and hidden states.

The continuous-batching pipeline tells neither, so the build is compiled a second time, with these
as its results, when they are first asked for. It computes in full precision, whatever the pipeline
computes in: scores are there to be compared.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Tensor

from modelmill_inference.children.lora_adapter import read_adapter
from modelmill_inference.children.openvino_graph import (
    HIDDEN,
    LIKELIEST,
    LOGPROB,
    PLACES,
    TARGETS,
    cache_bytes_per_token,
    reading_model,
)
from modelmill_inference.children.runner import Slices

Floats = NDArray[np.float32]
Rows = Sequence[Sequence[int]]
Kept = list[Floats]
"""Keys and values of what was read."""

PART_TOKENS = 64
"""Read at a time: in full precision that takes as long as the pipeline's own parts of prompts."""
CACHE_BYTES = 64 * 1024 * 1024
"""Texts are read side by side as long as their keys and values fit here."""
GIGABYTE = 1 << 30
FULL_PRECISION = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""On a CPU; other devices compute as their properties say."""
POLL_SECONDS = 0.001
DECIMALS = 8
"""Of a vector's values: all that single precision has of numbers below 1."""


class ReadingModel:
    """The build, compiled for reading.

    Args:
        load: as of `openvino.open_pipeline`.
    """

    def __init__(self, load: dict[str, Any]) -> None:
        adapter = read_adapter(Path(load["adapter"])) if load.get("adapter") else None
        model = reading_model(Path(load["folder"]), adapter)
        device, properties = load["device"], dict(load["properties"])
        if device == "CPU":
            properties |= FULL_PRECISION
        self._token_bytes = cache_bytes_per_token(model)
        self._most_bytes = load["cache_gigabytes"] * GIGABYTE
        self._inputs = {name for entry in model.inputs for name in entry.get_names()}
        self._compiled = Core().compile_model(model, device, properties)

    def begin(self, tokens: int) -> "ReadingSession":
        """A reading that has read nothing, of a text of so many tokens.

        Raises:
            ValueError: its keys and values need more memory than the pipeline has for all.
        """
        if self._token_bytes * tokens > self._most_bytes:
            raise ValueError(f"keys and values of {tokens} tokens do not fit into the cache")
        return ReadingSession(self._compiled.create_infer_request(), self._inputs)

    def rows_side_by_side(self, tokens: int) -> int:
        """Texts of that length that may be read together."""
        return min(PART_TOKENS, max(1, CACHE_BYTES // (self._token_bytes * tokens)))


class ReadPart(NamedTuple):
    """What came of a part of some texts; padding is cut off."""

    row: int
    """Of which text."""
    hidden: Floats
    """[token, size]"""
    logprobs: Floats
    """Of the targets; meaningless without them."""
    likeliest: Floats
    """1 where the target is the likeliest."""


class ReadingSession:
    """Keys and values of what was read so far, and a way to read on."""

    def __init__(self, request: Any, inputs: set[str]) -> None:
        self._request = request
        self._inputs = inputs
        self._past = 0

    def keep(self) -> Kept:
        """A copy of the keys and values, to go back to."""
        return [state.state.data.copy() for state in self._request.query_state()]

    def go_back(self, kept: Kept, tokens: int) -> None:
        """Be where `keep` was called, after so many tokens."""
        self._request.reset_state()
        self._past = tokens
        if tokens:
            for state, values in zip(self._request.query_state(), kept, strict=True):
                state.state = Tensor(values)

    def read(self, rows: Rows, targets: Rows | None = None) -> Iterator[list[ReadPart]]:
        """Read on with one text, or with several that all begin with the one read so far.

        Args:
            rows: token ids.
            targets: for each token the one whose likelihood behind it is wanted.
        """
        alive = list(range(len(rows)))
        sources = [0] * len(rows) if self._past else alive
        start, end = 0, max(map(len, rows))
        while start < end:
            going = [number for number, row in enumerate(alive) if len(rows[row]) > start]
            alive = [alive[number] for number in going]
            width = min(PART_TOKENS // len(alive), end - start)
            columns = slice(start, start + width)
            ids = _padded([rows[row][columns] for row in alive])
            wanted = None if targets is None else _padded([targets[row][columns] for row in alive])
            self._infer(ids, [sources[number] for number in going], wanted)
            yield [self._part(at, row, len(rows[row][columns])) for at, row in enumerate(alive)]
            sources = list(range(len(alive)))
            start += width

    def _infer(
        self, ids: NDArray[np.int64], sources: list[int], targets: NDArray[np.int64] | None
    ) -> None:
        rows, width = ids.shape
        positions = np.arange(self._past, self._past + width)
        given = {
            "input_ids": ids,
            # Padding is behind the texts, where no token of theirs looks.
            "attention_mask": np.ones((rows, self._past + width), np.int64),
            "position_ids": np.tile(positions, (rows, 1)),
            "beam_idx": np.array(sources, np.int32),
            PLACES: np.arange(width if targets is not None else 1),
            TARGETS: np.zeros((rows, 1), np.int64) if targets is None else targets,
        }
        self._request.infer({name: given[name] for name in self._inputs})
        self._past += width

    def _part(self, at: int, row: int, width: int) -> ReadPart:
        hidden, logprobs, likeliest = (
            self._request.get_tensor(name).data[at, :width] for name in (HIDDEN, LOGPROB, LIKELIEST)
        )
        return ReadPart(row, hidden, logprobs, likeliest)


def _padded(rows: Rows) -> NDArray[np.int64]:
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded


class Reader:
    """Reads texts, in slices.

    Args:
        load: as of `openvino.open_pipeline`.
    """

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._threads = ThreadPoolExecutor(1)
        self._opened: Future[ReadingModel] | None = None

    def score(self, prompt: list[int], continuations: Rows) -> Slices[list[list[Any]]]:
        """`[log_likelihood, is_greedy]` of each continuation; the prompt is computed once."""
        model = yield from self._model()
        reading = model.begin(len(prompt) + max(map(len, continuations)))
        # The prompt's last token is read with the continuations: what follows it is of interest.
        for _ in reading.read([prompt[:-1]]):
            yield
        groups = list(_groups(continuations, model, len(prompt)))
        begun = reading.keep() if len(groups) > 1 else []
        scores: list[list[Any]] = [[0.0, True] for _ in continuations]
        for turn, group in enumerate(groups):
            if turn:
                reading.go_back(begun, len(prompt) - 1)
            targets = [continuations[number] for number in group]
            rows = [[prompt[-1], *target[:-1]] for target in targets]
            for parts in reading.read(rows, targets):
                for part in parts:
                    score = scores[group[part.row]]
                    score[0] += float(part.logprobs.sum(dtype=np.float64))
                    score[1] = score[1] and bool(part.likeliest.all())
                yield
        return scores

    def score_pairs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Slices[Any]:
        """As `score`, of prompts that have one continuation each, read side by side."""
        model = yield from self._model()
        rows = [[*prompt, *continuation[:-1]] for prompt, continuation in pairs]
        targets = [[0] * (len(prompt) - 1) + list(goal) for prompt, goal in pairs]
        before = [len(prompt) - 1 for prompt, _ in pairs]
        scores: list[list[Any]] = [[0.0, True] for _ in pairs]
        for group in _groups(rows, model, 0):
            wanted = [targets[number] for number in group]
            reading = model.begin(len(rows[group[0]]))
            for parts in reading.read([rows[number] for number in group], wanted):
                for part in parts:
                    number, width = group[part.row], len(part.logprobs)
                    score, skipped = scores[number], before[number]
                    score[0] += float(part.logprobs[skipped:].sum(dtype=np.float64))
                    score[1] = score[1] and bool(part.likeliest[skipped:].all())
                    before[number] = max(0, skipped - width)
                yield
        return scores

    def embed(self, texts: Rows) -> Slices[list[list[float]]]:
        """For each text the mean of its tokens' last hidden states, scaled to length 1."""
        model = yield from self._model()
        vectors: list[list[float]] = [[] for _ in texts]
        for group in _groups(texts, model, 0):
            sums: list[Any] = [0.0] * len(group)
            reading = model.begin(len(texts[group[0]]))
            for parts in reading.read([texts[number] for number in group]):
                for part in parts:
                    sums[part.row] += part.hidden.sum(axis=0, dtype=np.float64)
                yield
            # The scale of the mean and of the sum is the same once the length is 1.
            for number, total in zip(group, sums, strict=True):
                vectors[number] = (total / np.linalg.norm(total)).round(DECIMALS).tolist()
        return vectors

    def _model(self) -> Slices[ReadingModel]:
        """The model, opened in a thread: that takes as long as many steps, but needs no lock."""
        if self._opened is None:
            self._opened = self._threads.submit(ReadingModel, self._load)
        while not self._opened.done():
            time.sleep(POLL_SECONDS)
            yield
        return self._opened.result()


def _groups(rows: Rows, model: ReadingModel, before: int) -> Iterator[list[int]]:
    """Which to read together, of similar length; `before` tokens stand before each of them."""
    by_length = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
    while by_length:
        interleaved = model.rows_side_by_side(before + len(rows[by_length[0]]))
        yield by_length[:interleaved]
        by_length = by_length[interleaved:]
