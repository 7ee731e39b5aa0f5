"""The answers to one request on their way out, each behind the rules and judges of the policy."""

import codecs
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256

from modelmill_audit.trail import TextJudged
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judge import Judge
from modelmill_guard.judged_text import RunsRules
from modelmill_guard.judging import AsksJudge, Judging
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, Direction, RuleMatch
from modelmill_service_kit.errors import DomainError, UnavailableError
from opentelemetry import trace

from modelmill_gateway.domain.chat import (
    ChatCall,
    End,
    Piece,
    TokenLogprob,
    ToolCall,
    Usage,
    spoken_texts,
)
from modelmill_gateway.domain.ledger.meter import Meter
from modelmill_gateway.domain.verdict import Hit, InputVerdict, ModerationResult
from modelmill_gateway.guarding.rule_filtered_stream import BLOCKED, UNTOLD, RuleFilteredStream


class ClassifierFilteredStream:
    """Releases what rules and judges let pass. Leave it by `close`.

    Tokens leave with the text they spell; a call is judged as a text of its own, and leaves with
    the text before it.
    """

    def __init__(
        self, answer: RuleFilteredStream, judges: Sequence[Judge], ask: AsksJudge, run: RunsRules
    ) -> None:
        self._answer = answer
        self._judges = judges
        self._ask = ask
        self._run = run
        self._judging = Judging(judges, ask)
        self._tokens = _HeldTokens()
        self._said = 0
        """Characters that the rules released."""
        self._calls: deque[tuple[int, ToolCall]] = deque()
        """Calls that passed, each with where in the text it stands."""
        self._in_calls: list[RuleMatch] = []
        """What judges found in calls."""
        self._unanswered: set[str] = set()
        """Judges that gave no opinion on a call."""
        self.end: End | None = None
        """How it ended, once it has."""

    async def shown(self, piece: Piece) -> Piece:
        """What may be shown of the piece and of what was held back; see `RuleFilteredStream.shown`.

        Raises:
            UnavailableError: a judge gives no opinion, and the policy is closed then.
        """
        if self.end is not None:
            if piece.end is not None:
                self.end = replace(piece.end, finish_reason=self.end.finish_reason)
            return Piece("", answer=piece.answer)
        released = await self._run(partial(self._answer.shown, piece), len(piece.text))
        self._tokens.add(released.logprobs)
        self._said += len(released.text)
        text = await self._judging.push(released.text)
        if released.end is not None:
            text += await self._judging.finish(complete=released.end.finish_reason != BLOCKED)
        blocked = bool(self._judging.blocked) or not await self._hold_calls(released.calls)
        self.end = released.end
        if blocked:
            self.end = replace(piece.end or UNTOLD, finish_reason=BLOCKED)
        return self._piece(text, piece.answer)

    @property
    def judged(self) -> ModerationResult:
        """What rules and judges say of all of it, once it has ended."""
        by_rules = self._answer.judged
        matches = [*self._judging.matches, *self._in_calls]
        hits = [Hit(match.rule_id, match.category, match.score or 1.0) for match in matches]
        blocked = self.end is not None and self.end.finish_reason == BLOCKED
        actions = [by_rules.action, *(match.action for match in matches)]
        return replace(
            by_rules,
            action=Action.BLOCK if blocked else max(actions),
            hits=tuple(dict.fromkeys([*by_rules.hits, *hits])),
            unanswered=tuple(sorted(self._judging.unanswered | self._unanswered)),
        )

    @property
    def generated(self) -> str:
        """See `RuleFilteredStream.generated`."""
        return self._answer.generated

    async def close(self) -> None:
        """End what is being asked."""
        await self._judging.close()

    def _piece(self, text: str, answer: int) -> Piece:
        shown_to, ended = self._judging.shown_to, self.end is not None
        complete = self.end is not None and self.end.finish_reason != BLOCKED
        calls: list[ToolCall] = []
        while self._calls and (complete or self._calls[0][0] <= shown_to):
            calls.append(self._calls.popleft()[1])
        masked_from = [m.start for m in self._judging.matches if m.action is Action.MASK]
        tokens = self._tokens.release(shown_to, complete=complete, masked_from=masked_from)
        return Piece(text, self.end if ended else None, answer, tokens, tuple(calls))

    async def _hold_calls(self, calls: Sequence[ToolCall]) -> bool:
        """Take the calls that pass; False when one of them does not."""
        for call in calls:
            text = "\n".join([call.name, *spoken_texts(call.arguments)])
            judging = Judging(self._judges, self._ask)
            try:
                passed = await judging.push(text) + await judging.finish()
            finally:
                await judging.close()
            self._in_calls += judging.matches
            self._unanswered |= judging.unanswered
            # With a mask it would be another call.
            if passed != text:
                return False
            self._calls.append((self._said, call))
        return True


class _HeldTokens:
    """Tokens until the text that they spell is shown.

    Where a token stands is taken from the characters of the tokens before it. Rules mask tokens
    byte by byte, so a place may be too far behind, never too far in front.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: deque[tuple[int, TokenLogprob]] = deque()
        self._end = 0

    def add(self, tokens: Sequence[TokenLogprob]) -> None:
        for token in tokens:
            self._end += len(self._decoder.decode(token.token))
            # Half a character belongs to the one that is to come.
            begun = bool(self._decoder.getstate()[0])
            self._held.append((self._end + begun, token))

    def release(
        self, shown_to: int, *, complete: bool, masked_from: Sequence[int]
    ) -> tuple[TokenLogprob, ...]:
        """Those within the text that is shown, or all; from a judge's first mask on as masks."""
        taken: list[TokenLogprob] = []
        while self._held and (complete or self._held[0][0] <= shown_to):
            end, token = self._held.popleft()
            if masked_from and end > min(masked_from):
                token = TokenLogprob(MASK.encode() * len(token.token), token.logprob)
            taken.append(token)
        return tuple(taken)


tracer = trace.get_tracer(__name__)

CANCELLED = End("cancelled")
"""How an answer ended as long as nothing else is known: whoever listened stopped listening."""


class FilteredAnswers:
    """Releases only what no rule can still turn into a match, and what judges let pass."""

    def __init__(
        self,
        policy: CompiledPolicy,
        pieces: AsyncIterator[Piece],
        started: float,
        call: ChatCall,
        judged_input: InputVerdict,
        ask: AsksJudge,
        run: RunsRules,
        meter: Meter | None = None,
    ) -> None:
        self.version_id = ""
        """Which version answers, known once they have begun."""
        self.variant = ""
        """Which of an alias's variants that is; empty where it has none."""
        self.prompt_tokens = 0
        """As inference told with the first piece; 0 where it did not."""
        self.generated_tokens = [0] * call.answers
        """Of each answer by now, shown or not."""
        self.policy_digest = policy.digest
        self.input: ModerationResult = judged_input
        """What the policy said of the request."""
        self.meter = meter
        """What they are charged to, where the caller has limits."""
        self.first_piece_seconds = 0.0
        self.first_text_seconds: float | None = None
        self.transcript: list[Piece] | None = None
        """What was shown, where somebody wants to keep it: set a list before they are read."""
        self._answers = _answers(policy, call, ask, run)
        self._are_verdicts_wanted = call.moderation is not None
        self._unended = CANCELLED
        self._pieces = pieces
        self._run = run
        self._started = started
        self._first: Piece | None = None
        self._span = tracer.start_span("guard.output")
        self._guard_seconds = 0.0

    @property
    def ends(self) -> list[End]:
        """How each answer ended."""
        return [answer.end or self._unended for answer in self._answers]

    @property
    def blocked(self) -> int:
        """How many of them the policy ended."""
        return sum(end.finish_reason == BLOCKED for end in self.ends)

    @property
    def outputs(self) -> list[ModerationResult]:
        """What the policy says of each answer, once it has ended."""
        return [answer.judged for answer in self._answers]

    def judged_texts(self, tenant: str) -> list[TextJudged]:
        """What is to be remembered of each answer, once all have ended."""
        return [
            TextJudged(
                tenant=tenant,
                direction=Direction.OUTPUT,
                action=judged.action,
                matched=frozenset((hit.rule_id, hit.category) for hit in judged.hits),
                policy_digest=judged.policy_digest,
                text_sha256=sha256(answer.generated.encode("utf-8", "surrogatepass")).hexdigest(),
                unanswered=judged.unanswered,
            )
            for answer, judged in zip(self._answers, self.outputs, strict=True)
        ]

    @property
    def tells_verdicts(self) -> bool:
        """Whether the caller hears of verdicts: it asked, or the policy ended an answer."""
        return self._are_verdicts_wanted or self.blocked > 0

    @property
    def end(self) -> End:
        """How they ended together: by a block, if one was, else as the first one that tells."""
        ends = self.ends
        reasons = [end.finish_reason for end in ends]
        unended = self._unended.finish_reason
        telling = [reason for reason in (unended, BLOCKED) if reason in reasons]
        return End(telling[0] if telling else reasons[0], usage_of_answers(ends))

    @property
    def used(self) -> Usage:
        """What they cost by now, as far as the engine has told: also of those that were stopped.

        What a budget is charged is on record, too.
        """
        if self.meter is not None:
            return self.meter.used
        return Usage(self.prompt_tokens, sum(self.generated_tokens))

    async def begin(self) -> None:
        """Wait for the first piece; errors that come instead of it can still become a status."""
        try:
            self._first = await anext(self._pieces)
        except Exception as error:
            self._unended = End("error")
            if self.meter is not None and isinstance(error, DomainError):
                self.meter.refused()
            raise
        self.version_id, self.variant = self._first.version_id, self._first.variant
        self.prompt_tokens = self._first.prompt_tokens
        if self.meter is not None and self.prompt_tokens:
            self.meter.prompt(self.prompt_tokens)
        self._count(self._first)
        self.first_piece_seconds = time.perf_counter() - self._started

    async def pieces(self) -> AsyncIterator[Piece]:
        """What to show, never empty: text, tokens, calls, and the end of each answer."""
        piece = self._first
        try:
            while piece is not None:
                shown = await self._shown(piece)
                if shown.text and self.first_text_seconds is None:
                    self.first_text_seconds = time.perf_counter() - self._started
                if any((shown.text, shown.logprobs, shown.calls, shown.end)):
                    if self.transcript is not None:
                        self.transcript.append(shown)
                    yield shown
                if shown.end is not None and all(answer.end for answer in self._answers):
                    return
                piece = await anext(self._pieces, None)
                if piece is not None:
                    self._count(piece)
        except Exception:
            self._unended = End("error")
            raise
        self._unended = End("error")
        raise UnavailableError("the engine stopped before the answer was complete")

    async def whole(self) -> list[Piece]:
        """Each answer as one piece, once all are complete."""
        texts: list[list[Piece]] = [[] for _ in self._answers]
        async for piece in self.pieces():
            texts[piece.answer].append(piece)
        return [
            Piece(
                "".join(piece.text for piece in pieces),
                end,
                index,
                tuple(token for piece in pieces for token in piece.logprobs),
                tuple(call for piece in pieces for call in piece.calls),
            )
            for index, (pieces, end) in enumerate(zip(texts, self.ends, strict=True))
        ]

    async def close(self) -> None:
        """End the guard's span and what judges are being asked."""
        for answer in self._answers:
            if isinstance(answer, ClassifierFilteredStream):
                await answer.close()
        self._span.set_attribute("modelmill.guard.seconds", self._guard_seconds)
        self._span.set_attribute("modelmill.finish_reason", self.end.finish_reason)
        self._span.end()

    def _count(self, piece: Piece) -> None:
        tokens = piece.tokens_by_now(self.generated_tokens[piece.answer])
        self.generated_tokens[piece.answer] = tokens
        if piece.end is not None and piece.end.usage is not None:
            self.prompt_tokens = piece.end.usage.prompt_tokens
            if self.meter is not None:
                self.meter.prompt(self.prompt_tokens)
        if self.meter is not None:
            self.meter.delivered(piece.answer, tokens)

    async def _shown(self, piece: Piece) -> Piece:
        begun = time.perf_counter()
        answer = self._answers[piece.answer]
        if isinstance(answer, RuleFilteredStream):
            shown = await self._run(partial(answer.shown, piece), len(piece.text))
        else:
            shown = await answer.shown(piece)
        self._guard_seconds += time.perf_counter() - begun
        return shown


def _answers(
    policy: CompiledPolicy, call: ChatCall, ask: AsksJudge, run: RunsRules
) -> Sequence[RuleFilteredStream | ClassifierFilteredStream]:
    echo = call.turns[0].content if call.echo else ""
    form = call.sampling.constraint
    is_json = form is not None and form.kind == "json_schema"
    guarded = [RuleFilteredStream(policy, echo, is_json=is_json) for _ in range(call.answers)]
    judges = policy.judges(Direction.OUTPUT)
    return (
        [ClassifierFilteredStream(answer, judges, ask, run) for answer in guarded]
        if judges
        else guarded
    )


def usage_of_answers(ends: list[End]) -> Usage | None:
    """What the answers to one prompt cost; None when one was stopped before its engine told."""
    usages = [end.usage for end in ends if end.usage is not None]
    if len(usages) < len(ends):
        return None
    # The prompt stands in each answer's usage, but is computed once.
    completion = sum(usage.completion_tokens for usage in usages)
    accepted = sum(usage.accepted_prediction_tokens for usage in usages)
    return Usage(usages[0].prompt_tokens, completion, accepted)
