"""Child process of the openvino engine: one continuous-batching pipeline of OpenVINO GenAI."""

from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import openvino_genai as genai
from openvino import Tensor

from modelmill_inference.children.grammar_check import check_grammar
from modelmill_inference.children.lora_adapter import read_adapter
from modelmill_inference.children.openvino_cache import (
    UnfinishedAnswers,
    keeps_scopes_apart,
    scoped_prompt,
)
from modelmill_inference.children.openvino_graph import check_fits, vocabulary_of
from modelmill_inference.children.openvino_lookup import (
    PROPERTY,
    DraftChoice,
    PromptLookup,
    can_draft,
)
from modelmill_inference.children.openvino_reading import Reader
from modelmill_inference.children.runner import Slices, TokenUpdate, serve


class PenaltyQueue:
    """FIFO queue of requests with a repetition penalty.

    The prefix cache also reuses partially filled blocks, which two requests may then write to: both
    answers may become wrong. Prompts are marked against that (`openvino_cache`), but not with a
    repetition penalty, which looks prompt tokens up by id. Such requests share blocks only if their
    prompts start with the same token, as with one chat template: of those, one runs at a time.

    Args:
        shares: whether there is a prefix cache; without one no request waits.
    """

    def __init__(self, *, shares: bool) -> None:
        self._shares = shares
        self._waiting: deque[dict[str, Any]] = deque()
        self._running: dict[int, int] = {}
        """First prompt token of running requests, by request."""

    def __len__(self) -> int:
        return len(self._waiting)

    def holds(self, number: int) -> bool:
        """Whether the request is queued."""
        return any(add["id"] == number for add in self._waiting)

    def take(self, add: dict[str, Any]) -> None:
        """Enqueue a request."""
        self._waiting.append(add)

    def must_wait(self, add: dict[str, Any]) -> bool:
        """Whether a running or queued request has the same first token."""
        if not self._can_share(add):
            return False
        first = add["prompt"][0]
        before = (each["prompt"][0] for each in self._waiting if each is not add)
        return first in self._running.values() or first in before

    def begin(self, add: dict[str, Any]) -> None:
        """Mark a request as running."""
        if self._can_share(add):
            self._running[add["id"]] = add["prompt"][0]

    def leave(self, number: int) -> None:
        """Remove a request."""
        self._running.pop(number, None)
        self._waiting = deque(add for add in self._waiting if add["id"] != number)

    def next(self) -> list[dict[str, Any]]:
        """Dequeue the requests that may start now."""
        taken, due = set(self._running.values()), []
        for add in [*self._waiting]:
            if add["prompt"][0] not in taken:
                due.append(add)
                self._waiting.remove(add)
            taken.add(add["prompt"][0])
        return due

    def _can_share(self, add: dict[str, Any]) -> bool:
        return self._shares and bool(add["prompt"]) and add["repetition_penalty"] != 1


def open_pipeline(load: dict[str, Any]) -> genai.ContinuousBatchingPipeline:
    """Create the pipeline from the load message of `adapters.openvino`."""
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = load["cache_gigabytes"]
    scheduler.max_num_seqs = load["max_sequences"]
    scheduler.enable_prefix_caching = load["prefix_cache"]
    properties = load["properties"]
    if load.get("adapter"):
        properties = properties | {"adapters": _adapters(load)}
    return genai.ContinuousBatchingPipeline(load["folder"], scheduler, load["device"], properties)


def _adapters(load: dict[str, Any]) -> genai.AdapterConfig:
    """A single static adapter: with several, the pipeline serves only the last one, and its prefix
    cache does not distinguish them.
    """
    adapter = read_adapter(Path(load["adapter"]))
    check_fits(Path(load["folder"]), adapter)
    # GenAI does not read the adapter config.
    mode = genai.AdapterConfig.Mode.MODE_STATIC
    return genai.AdapterConfig(genai.Adapter(adapter.weights), adapter.scale, mode)


def generation_config(add: dict[str, Any]) -> genai.GenerationConfig:
    """Convert a request; temperature 0 is greedy."""
    config = genai.GenerationConfig()
    config.max_new_tokens = add["max_new_tokens"]
    config.stop_token_ids = set(add["eos_ids"])
    config.presence_penalty = add["presence_penalty"]
    config.frequency_penalty = add["frequency_penalty"]
    config.repetition_penalty = add["repetition_penalty"]
    config.logprobs = 0 if add["logprobs"] is None else 1
    if add["grammar"]:
        config.structured_output_config = genai.StructuredOutputConfig(grammar=add["grammar"])
    if add["temperature"] > 0:
        config.do_sample = True
        config.temperature = add["temperature"]
        config.top_p = add["top_p"]
        config.rng_seed = add["seed"]
        if add["top_k"]:
            config.top_k = add["top_k"]
    return config


class OpenVinoRunner:
    """`runner.Runner` on a continuous-batching pipeline.

    Args:
        load: Load message of `adapters.openvino`.
        choice: Of a version that looks prompts up.
    """

    def __init__(self, load: dict[str, Any], choice: DraftChoice | None = None) -> None:
        self._choice = choice or DraftChoice()
        self._pipeline = open_pipeline(load)
        has_cache: bool = load["prefix_cache"]
        if has_cache and not keeps_scopes_apart(self._pipeline):
            # A shared cache would reveal other tenants' prompts by timing.
            print("the prefix cache is disabled: this device cannot separate it by tenant")
            has_cache = False
            self._pipeline = open_pipeline(load | {"prefix_cache": False})
        self._alone = _AlonePipeline.of(load | {"prefix_cache": has_cache})
        self._penalty_queue = PenaltyQueue(shares=has_cache)
        self._reader = Reader(load)
        self._vocabulary = vocabulary_of(Path(load["folder"]))
        self._live: dict[int, _Live] = {}
        self._unfinished = UnfinishedAnswers()

    @property
    def busy(self) -> bool:
        return bool(self._penalty_queue) or any(map(_has_requests, self._pipelines()))

    def _pipelines(self) -> list[genai.ContinuousBatchingPipeline]:
        return [self._pipeline] if self._alone is None else [self._pipeline, self._alone.pipeline]

    def add(self, add: dict[str, Any]) -> None:
        self._check(add)
        if self._penalty_queue.must_wait(add):
            self._penalty_queue.take(add)
        else:
            self._begin(add)

    def _begin(self, add: dict[str, Any]) -> None:
        self._penalty_queue.begin(add)
        self._end_solitude()
        # A constrained answer that reaches its limit is completed by a second request.
        computed = self._unfinished.take(add["tenant"], add["prompt"]) if add["grammar"] else []
        prompt = scoped_prompt(add, computed)
        is_alone = self._alone is not None and not self._live and can_draft(add)
        drafts = is_alone and self._choice.drafts()
        handle = self._draft(add, prompt) if drafts else self._join_batch(add, prompt)
        self._live[add["id"]] = _Live(handle, add, prompt, is_alone=is_alone, drafts=drafts)

    def _join_batch(self, add: dict[str, Any], prompt: list[int]) -> Any:
        return self._pipeline.add_request(add["id"], Tensor([prompt]), generation_config(add))

    def _draft(self, add: dict[str, Any], prompt: list[int]) -> Any:
        lookup, pipeline = cast(_AlonePipeline, self._alone)
        config = lookup.configure(generation_config(add))
        return pipeline.add_request(add["id"], Tensor([prompt]), config)

    def _end_solitude(self) -> None:
        """Have a request that drafts go on in the batch, which computes its text so far anew.

        Beside others it would hold them up: each step would be two, one of each pipeline.
        """
        for live in self._live.values():
            live.is_alone = False
            if live.drafts:
                rest = live.rest()
                live.handle.cancel()
                live.go_on(self._join_batch(rest, scoped_prompt(rest)))

    def _check(self, add: dict[str, Any]) -> None:
        """Reject requests that the pipeline would accept, but that would fail the whole batch."""
        if add["id"] in self._live or self._penalty_queue.holds(add["id"]):
            raise ValueError(f"request {add['id']} is here already")
        if not all(0 <= token < self._vocabulary for token in add["prompt"]):
            raise ValueError(f"a token is not in the vocabulary of {self._vocabulary}")
        if add["grammar"]:
            check_grammar(add["grammar"])

    def cancel(self, number: int) -> None:
        self._penalty_queue.leave(number)
        live = self._live.pop(number, None)
        if live is not None:
            live.handle.cancel()

    def step(self) -> list[TokenUpdate]:
        for add in self._penalty_queue.next():
            self._begin(add)
        for pipeline in filter(_has_requests, self._pipelines()):
            pipeline.step()
        updates = []
        for number, live in list(self._live.items()):
            update = live.read(number)
            if update.tokens or update.end:
                updates.append(update)
            if update.end:
                if live.is_alone:
                    self._choice.note(drafts=live.drafts, **live.pace())
                del self._live[number]
                self._penalty_queue.leave(number)
            if update.end == "length" and live.is_held:
                self._unfinished.keep(live.tenant, live.prompt, live.tokens)
        return updates

    def score(self, prompt: list[int], continuations: list[list[int]]) -> Slices[list[list[Any]]]:
        return self._reader.score(prompt, continuations)

    def embed(self, texts: list[list[int]]) -> Slices[list[list[float]]]:
        return self._reader.embed(texts)


def _has_requests(pipeline: genai.ContinuousBatchingPipeline) -> bool:
    return bool(pipeline.has_non_finished_requests())


class _AlonePipeline(NamedTuple):
    """The second pipeline, of a version that looks prompts up."""

    lookup: PromptLookup
    pipeline: genai.ContinuousBatchingPipeline

    @classmethod
    def of(cls, load: dict[str, Any]) -> "_AlonePipeline | None":
        lookup = PromptLookup.of(Path(load["folder"])) if load["prompt_lookup"] else None
        if lookup is None:
            return None
        return cls(lookup, open_pipeline(load | {"properties": load["properties"] | PROPERTY}))


class _Live:
    """A running request.

    Args:
        is_alone: whether it may draft, and no other came yet.
        drafts: whether it drafts by prompt lookup.
    """

    def __init__(
        self, handle: Any, add: dict[str, Any], prompt: list[int], *, is_alone: bool, drafts: bool
    ) -> None:
        self.handle = handle
        self.is_alone = is_alone
        self.drafts = drafts
        self.tenant: str = add["tenant"]
        self.prompt = prompt
        """Prompt as passed to the pipeline."""
        self.tokens: list[int] = []
        """Tokens of the answer so far."""
        self.is_held = bool(add["grammar"])
        self._first: tuple[int, float] | None = None
        """How many tokens came first, and when."""
        self._add = add
        self._wants_logprobs = add["logprobs"] is not None

    def rest(self) -> dict[str, Any]:
        """A request for what is left of the answer."""
        left = self._add["max_new_tokens"] - len(self.tokens)
        prompt = [*self._add["prompt"], *self.tokens]
        return self._add | {"prompt": prompt, "max_new_tokens": left}

    def go_on(self, handle: Any) -> None:
        """Read on from another request, without drafts."""
        self.handle, self.drafts = handle, False

    def pace(self) -> dict[str, Any]:
        """Tokens behind the first ones, and the seconds that they took."""
        tokens, since = self._first or (0, 0.0)
        return {"tokens": len(self.tokens) - tokens, "seconds": perf_counter() - since}

    def read(self, number: int) -> TokenUpdate:
        """New tokens, and how the answer ended, if it did."""
        status = self.handle.get_status()
        tokens: list[int] = []
        chosen: list[Any] | None = [] if self._wants_logprobs else None
        reason = None
        while self.handle.can_read():
            for output in self.handle.read().values():
                tokens += output.generated_ids
                if chosen is not None:
                    chosen += [[logprob, []] for logprob in output.generated_log_probs]
                reason = output.finish_reason
        self.tokens += tokens
        if tokens and self._first is None:
            self._first = len(tokens), perf_counter()
        # A step that accepts no draft has one token.
        accepted = max(0, len(tokens) - 1) if self.drafts else 0
        end = _end(status, reason)
        return TokenUpdate(number, tokens, end, chosen, accepted)


def _end(status: genai.GenerationStatus, reason: Any) -> str | None:
    if status == genai.GenerationStatus.RUNNING:
        return None
    if status != genai.GenerationStatus.FINISHED:
        return "no_room"
    return "length" if reason == genai.GenerationFinishReason.LENGTH else "stop"


if __name__ == "__main__":
    serve(OpenVinoRunner)
