"""One answer behind its rules, held until the policy's judges let its windows pass."""

import codecs
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from modelmill_guard.judge import Judge
from modelmill_guard.judged_text import RunsRules
from modelmill_guard.judging import AsksJudge, Judging
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, RuleMatch

from modelmill_gateway.domain.chat import End, Piece, TokenLogprob, ToolCall, spoken_texts
from modelmill_gateway.domain.verdict import Hit, ModerationResult
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
