"""Runs requests one token at a time, round robin, without batching (imports torch).

Requests share only the weights: each has its own key-value cache, random generator and forward
pass. That is slow, but an answer never depends on other requests.
"""

from collections import deque
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from modelmill_inference.children.runner import Slices, TokenUpdate
from modelmill_inference.children.transformers_model import CausalModel, Memory, open_model

MIN_TEMPERATURE = 0.001
"""Below it logits overflow; 0 is greedy."""
CACHE_BYTES = 64 * 1024 * 1024
"""Of compiled grammars."""


class Sampler:
    """Samples the tokens of one answer, as a function of request and seed only.

    The repetition penalty covers prompt and answer; presence and frequency penalties the answer.
    The cost per token does not depend on the length of the text.
    """

    def __init__(self, add: dict[str, Any], vocabulary: int) -> None:
        self._said = torch.zeros(vocabulary, dtype=torch.bool)
        self._said[torch.tensor(add["prompt"])] = True
        self._counts = torch.zeros(vocabulary)
        self._presence: float = add["presence_penalty"]
        self._frequency: float = add["frequency_penalty"]
        self._repetition = float(add["repetition_penalty"])
        self._warpers: Any = _warpers(add)
        self._generator = torch.Generator()
        self._generator.manual_seed(add["seed"])

    def draw(self, logits: Tensor) -> int:
        """Sample a token; `logits` are not changed."""
        scores = self._penalised(logits)
        scores -= self._presence * (self._counts > 0) + self._frequency * self._counts
        if self._warpers is None:
            token = int(scores.argmax())
        else:
            warped = self._warpers(None, scores[None])[0]
            token = int(torch.multinomial(warped.softmax(0), 1, generator=self._generator))
        self._counts[token] += 1
        self._said[token] = True
        return token

    def _penalised(self, logits: Tensor) -> Tensor:
        """Apply the repetition penalty to a copy, as transformers does."""
        if self._repetition == 1:
            return logits.clone()
        weaker = torch.where(logits < 0, logits * self._repetition, logits / self._repetition)
        return torch.where(self._said, weaker, logits)


def _warpers(add: dict[str, Any]) -> LogitsProcessorList | None:
    """Warpers for sampling; None for greedy. Raises ValueError for an unsupported temperature."""
    temperature = float(add["temperature"])
    if temperature == 0:
        return None
    if temperature < MIN_TEMPERATURE:
        raise ValueError(f"temperature must be 0 or at least {MIN_TEMPERATURE}")
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if add["top_k"]:
        warpers.append(TopKLogitsWarper(add["top_k"]))
    if add["top_p"] != 1:
        warpers.append(TopPLogitsWarper(float(add["top_p"])))
    return warpers


def row_of(logits: Tensor, token: int, alternatives: int) -> list[Any]:
    """`[logprob, [[token, logprob], ...]]` from unmodified logits."""
    logprobs = logits.log_softmax(0)
    likely = logprobs.topk(min(alternatives, len(logprobs)))
    pairs = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    return [float(logprobs[token]), [list(pair) for pair in pairs]]


def score_in_slices(
    model: CausalModel, prompt: list[int], continuations: list[list[int]]
) -> Slices[list[list[Any]]]:
    """`[log_likelihood, is_greedy]` per continuation; the prompt is computed once."""
    memory, behind = model.new_memory(), torch.empty(0)
    while prompt:
        piece = model.piece(prompt)
        behind, prompt = model.read(piece, memory), prompt[len(piece) :]
        yield
    scores = []
    for tokens in continuations:
        scores.append((yield from _score(model, tokens, behind, memory.copy())))
    return scores


def _score(
    model: CausalModel, tokens: list[int], behind: Tensor, memory: Memory
) -> Slices[list[Any]]:
    """Score one continuation; `behind` are the (1, V) logits after the prompt."""
    total, is_greedy, done, logits = 0.0, True, 0, behind
    while True:
        meant = torch.tensor(tokens[done : done + len(logits)])
        total += float(logits.log_softmax(-1).gather(1, meant[:, None]).sum())
        is_greedy = is_greedy and bool((logits.argmax(-1) == meant).all())
        done += len(logits)
        if done == len(tokens):
            return [total, is_greedy]
        piece = model.piece(tokens[done - 1 : -1])
        logits = model.read(piece, memory, keep=len(piece))
        yield


def embed_in_slices(model: CausalModel, texts: list[list[int]]) -> Slices[list[list[float]]]:
    """Embedding per text."""
    vectors = []
    for tokens in texts:
        vectors.append(model.vector(tokens))
        yield
    return vectors


class DeadEndError(Exception):
    """The grammar allows no token of the model."""


class GrammarMask:
    """Grammar state of one answer."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._bits = torch.empty(1, -(-vocabulary // 32), dtype=torch.int32)

    def apply(self, logits: Tensor) -> Tensor:
        """Mask tokens that the grammar forbids. Raises DeadEndError if all are forbidden."""
        if not self._matcher.fill_next_token_bitmask(self._bits):
            return logits
        bits = (self._bits[0, :, None] >> torch.arange(32, dtype=torch.int32)) & 1
        allowed = bits.flatten()[: len(logits)].bool()
        if not allowed.any():
            raise DeadEndError("the grammar allows no token that the model has")
        return logits.masked_fill(~allowed, float("-inf"))

    def accept(self, token: int) -> bool:
        """Advance by a token; returns whether the answer is complete."""
        if not self._matcher.accept_token(token):
            raise DeadEndError("the grammar does not allow what it allowed")
        return bool(self._matcher.is_terminated())


class Grammars:
    """Compiles grammars for one model, with a cache."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._compiler: Any | None = None

    def mask(self, grammar: str, end_tokens: list[int]) -> GrammarMask:
        """Mask for a new answer; any exception means that the grammar is invalid."""
        from xgrammar import GrammarMatcher

        if self._compiler is None:
            self._compiler = _compiler(self._folder, self._vocabulary, end_tokens)
        matcher = GrammarMatcher(
            self._compiler.compile_grammar(grammar),
            override_stop_tokens=end_tokens or None,
            terminate_without_stop_token=not end_tokens,
        )
        mask = GrammarMask(matcher, self._vocabulary)
        mask.apply(torch.zeros(self._vocabulary))
        return mask


def _compiler(folder: Path, vocabulary: int, end_tokens: list[int]) -> Any:
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast
    from xgrammar import GrammarCompiler, TokenizerInfo

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    stops = end_tokens or None
    named = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=stops)
    texts = named.decoded_vocab
    for token, added in tokenizer.added_tokens_decoder.items():
        # XGrammar would match its name as text, although answers do not contain special tokens.
        if added.special and token < len(texts):
            texts[token] = b""
    info = TokenizerInfo(texts, vocab_size=vocabulary, stop_token_ids=stops)
    return GrammarCompiler(info, cache_limit_bytes=CACHE_BYTES)


class TransformersRunner:
    """`runner.Runner` on one model."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._model = open_model(load)
        self._grammars = Grammars(Path(load["folder"]), self._model.vocabulary)
        self._room: int = load["cache_bytes"]
        """Unreserved bytes of the key-value cache."""
        self._all_room = self._room
        self._waiting: deque[_Answer] = deque()
        """FIFO; each request reserves its maximum cache size."""
        self._running: deque[_Answer] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def add(self, add: dict[str, Any]) -> None:
        self._check(add["prompt"])
        self._waiting.append(_Answer(add, self._model, self._grammars, self._all_room))

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
        # A reservation is capped at the whole cache: most answers end long before their limit.
        most = all_room // model.bytes_per_token if model.bytes_per_token else None
        wanted = len(self._unread) + self._left - 1
        self._most_tokens = wanted if most is None else min(wanted, most)
        # A prompt that exceeds the cache fails in its first step, without waiting.
        may_begin = len(self._unread) <= self._most_tokens
        self.claim = self._most_tokens * model.bytes_per_token if may_begin else 0

    def step(self) -> TokenUpdate:
        """Process a prefill chunk, or generate a token."""
        piece = self._model.piece(self._unread)
        if len(self._memory.tokens) + len(self._unread) > self._most_tokens:
            return TokenUpdate(self.number, [], "no_room", None)
        try:
            logits = self._model.read(piece, self._memory)[0]
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            return TokenUpdate(self.number, [], "no_room", None)
        self._unread = self._unread[len(piece) :]
        if self._unread:
            return TokenUpdate(self.number, [], None, None)
        return self._next_token(logits)

    def _next_token(self, logits: torch.Tensor) -> TokenUpdate:
        is_whole = False
        try:
            allowed = logits if self._mask is None else self._mask.apply(logits)
            token = self._sampler.draw(allowed)
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


def _is_out_of_memory(error: Exception) -> bool:
    # On CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "can't allocate memory" in str(error)
    )
