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
"""A saved key-value cache."""

PART_TOKENS = 64
"""Tokens per pass: in full precision this takes as long as a prefill chunk of the pipeline."""
CACHE_BYTES = 64 * 1024 * 1024
"""Key-value cache of texts in one batch."""
GIGABYTE = 1 << 30
FULL_PRECISION = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}
"""For CPUs; other devices use their own properties."""
POLL_SECONDS = 0.001
DECIMALS = 8
"""Precision of float32 for values below 1."""


class ReadingModel:
    """The build, compiled for scoring and embedding.

    Args:
        load: load message, as for `openvino.open_pipeline`.
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
        """Start a session for a text of `tokens` tokens.

        Raises:
            ValueError: its key-value cache exceeds the cache size.
        """
        if self._token_bytes * tokens > self._most_bytes:
            raise ValueError(f"keys and values of {tokens} tokens do not fit into the cache")
        return ReadingSession(self._compiled.create_infer_request(), self._inputs)

    def rows_side_by_side(self, tokens: int) -> int:
        """Batch size for texts of this length."""
        return min(PART_TOKENS, max(1, CACHE_BYTES // (self._token_bytes * tokens)))


class ReadPart(NamedTuple):
    """Outputs for one chunk of a text, without padding."""

    row: int
    """Index of the text."""
    hidden: Floats
    """[token, size]"""
    logprobs: Floats
    """Log-probabilities of the targets; undefined without targets."""
    likeliest: Floats
    """1 where the target is the most likely token."""


class ReadingSession:
    """A stateful inference session with its key-value cache."""

    def __init__(self, request: Any, inputs: set[str]) -> None:
        self._request = request
        self._inputs = inputs
        self._past = 0

    def keep(self) -> Kept:
        """Copy the key-value cache."""
        return [state.state.data.copy() for state in self._request.query_state()]

    def go_back(self, kept: Kept, tokens: int) -> None:
        """Restore a copy that was made after `tokens` tokens."""
        self._request.reset_state()
        self._past = tokens
        if tokens:
            for state, values in zip(self._request.query_state(), kept, strict=True):
                state.state = Tensor(values)

    def read(self, rows: Rows, targets: Rows | None = None) -> Iterator[list[ReadPart]]:
        """Process one text, or several that continue the text so far, in chunks.

        Args:
            rows: token ids.
            targets: for each token the next token whose log-probability is wanted.
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
            # Padding follows the texts, so causal attention ignores it.
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
    """Scores and embeds texts, in slices.

    Args:
        load: load message, as for `openvino.open_pipeline`.
    """

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._threads = ThreadPoolExecutor(1)
        self._opened: Future[ReadingModel] | None = None

    def score(self, prompt: list[int], continuations: Rows) -> Slices[list[list[Any]]]:
        """`[log_likelihood, is_greedy]` per continuation; the prompt is computed once."""
        model = yield from self._model()
        reading = model.begin(len(prompt) + max(map(len, continuations)))
        # The prompt's last token is processed with the continuations: it predicts their first one.
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
        """As `score`, for prompts with one continuation each, in one batch."""
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
        """Mean of the last hidden states of each text, normalised."""
        model = yield from self._model()
        vectors: list[list[float]] = [[] for _ in texts]
        for group in _groups(texts, model, 0):
            sums: list[Any] = [0.0] * len(group)
            reading = model.begin(len(texts[group[0]]))
            for parts in reading.read([texts[number] for number in group]):
                for part in parts:
                    sums[part.row] += part.hidden.sum(axis=0, dtype=np.float64)
                yield
            # Normalisation makes dividing by the token count unnecessary.
            for number, total in zip(group, sums, strict=True):
                vectors[number] = (total / np.linalg.norm(total)).round(DECIMALS).tolist()
        return vectors

    def _model(self) -> Slices[ReadingModel]:
        """The model, compiled in a thread, which releases the GIL; steps of the batch continue."""
        if self._opened is None:
            self._opened = self._threads.submit(ReadingModel, self._load)
        while not self._opened.done():
            time.sleep(POLL_SECONDS)
            yield
        return self._opened.result()


def _groups(rows: Rows, model: ReadingModel, before: int) -> Iterator[list[int]]:
    """Batches of texts of similar length; `before` is the length of a common prefix."""
    by_length = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
    while by_length:
        interleaved = model.rows_side_by_side(before + len(rows[by_length[0]]))
        yield by_length[:interleaved]
        by_length = by_length[interleaved:]
