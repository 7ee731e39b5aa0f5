"""One answer on its way out: its text, and its tokens, which say again what was said and more."""

import codecs
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, Direction, Released, RuleMatch

from modelmill_gateway.domain.chat import End, Piece, TokenLogprob, ToolCall
from modelmill_gateway.domain.verdict import Hit, ModerationResult
from modelmill_gateway.guarding.guarded_json import (
    GuardedJson,
    JoinedStrings,
    guarded_call,
    may_be_json,
)

BLOCKED = "content_filter"
UNTOLD = End(BLOCKED)
"""Of an answer whose engine was stopped before it told what it cost."""


class RuleFilteredStream:
    """Releases only what no rule can still turn into a match.

    Args:
        echo: text to be shown before the engine's, guarded like it and together with it.
        is_json: the answer is JSON, so that it is also judged as its readers will read it.
    """

    def __init__(self, policy: CompiledPolicy, echo: str = "", *, is_json: bool = False) -> None:
        self._policy = policy
        self._guard = policy.stream(Direction.OUTPUT, each_rule_once=True)
        self._json = GuardedJson(policy) if is_json else None
        self._joined = JoinedStrings(policy) if is_json else None
        self._has_begun = is_json
        """Whether it is known if the answer is JSON."""
        self._echo = echo
        self._logprobs: GuardedLogprobs | None = None
        self._waiting: tuple[TokenLogprob, ...] = ()
        """Tokens of JSON that is held back."""
        self._said: list[str] = []
        self._in_calls: list[RuleMatch] = []
        """What rules matched in calls."""
        self._judged: ModerationResult | None = None
        """Once it has ended."""
        self.end: End | None = None
        """How it ended, once it has."""

    def shown(self, piece: Piece) -> Piece:
        """What may be shown of the piece and of what was held back; with the end, if it has one.

        After a block it is empty, and only what the answer cost is taken from the engine.
        """
        if self.end is not None:
            if piece.end is not None:
                self.end = replace(piece.end, finish_reason=self.end.finish_reason)
            return Piece("", answer=piece.answer)
        said = self._echo + piece.text
        self._said += (said, *(f"{call.name}{call.arguments}" for call in piece.calls))
        text, blocked = self._text(said, ended=piece.end is not None)
        shown = Piece(text, answer=piece.answer)
        if not blocked and (piece.logprobs or self._logprobs):
            shown = self._with_logprobs(shown, piece)
            blocked = self._logprobs is not None and self._logprobs.blocked
        if not blocked and piece.calls:
            shown = shown._replace(calls=tuple(self._passing(piece.calls)))
            blocked = len(shown.calls) < len(piece.calls)
        self._echo = ""
        self.end = piece.end
        if blocked:
            self.end = replace(piece.end or UNTOLD, finish_reason=BLOCKED)
        if self.end is not None:
            self._judged = self._say()
        return shown._replace(end=self.end)

    @property
    def judged(self) -> ModerationResult:
        """What the policy says of all of it, once it has ended."""
        return self._judged or self._say()

    def _say(self) -> ModerationResult:
        verdict = self._guard.finish().verdict
        matches = [*(verdict.matches if verdict else ()), *self._in_calls]
        for beside in (self._json, self._joined, self._logprobs):
            matches += beside.matches if beside is not None else ()
        hits = dict.fromkeys(Hit(match.rule_id, match.category) for match in matches)
        blocked = self.end is not None and self.end.finish_reason == BLOCKED
        strongest = max((match.action for match in matches), default=Action.ALLOW)
        action = Action.BLOCK if blocked else strongest
        return ModerationResult(action, tuple(hits), self._policy.digest, unanswered=())

    @property
    def generated(self) -> str:
        """All that was judged, as far as the engine had said it: not to be shown."""
        return "".join(self._said)

    def _text(self, text: str, *, ended: bool) -> tuple[str, bool]:
        """What may be shown of the text, and whether a rule blocks what comes behind it."""
        blocked = False
        if self._json is not None:
            text = self._json.push(text) + (self._json.finish() if ended else "")
            blocked = self._json.blocked
        if not self._has_begun and not text.isspace() and text:
            self._has_begun = True
            self._joined = JoinedStrings(self._policy) if may_be_json(text) else None
        if self._joined is not None:
            text = self._joined.push(text, finished=ended or blocked)
            blocked = blocked or self._joined.blocked
        released = self._guard.push(text)
        shown, verdict = released.text, released.verdict
        if (ended or blocked) and verdict is None:
            rest = self._guard.finish()
            shown, verdict = shown + rest.text, rest.verdict
        return shown, blocked or (verdict is not None and verdict.action is Action.BLOCK)

    def _passing(self, calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
        """The calls before the first one that is blocked."""
        for call in calls:
            passed = guarded_call(call, self._policy)
            self._in_calls += passed.matches
            if passed.call is None:
                return
            yield passed.call

    def _with_logprobs(self, shown: Piece, piece: Piece) -> Piece:
        if self._logprobs is None:
            self._logprobs = GuardedLogprobs(self._policy)
        tokens = self._waiting + self._logprobs.push(piece.logprobs)
        if piece.end is not None:
            tokens += self._logprobs.finish()
        self._waiting = ()
        if self._json is not None and self._json.has_masked:
            # They spell what was masked, and nobody can tell which of them.
            tokens = ()
        elif any(beside is not None and beside.holds for beside in (self._json, self._joined)):
            tokens, self._waiting = (), tokens
        return shown._replace(logprobs=tokens)


REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class GuardedLogprobs:
    """Releases tokens once no rule can turn their text into a match; masks what rules mask.

    It judges the tokens as a text of its own. An alternative is shown if no rule matches it behind
    the text that is held back: a match with more of the text would hold that back, too.
    """

    def __init__(self, policy: CompiledPolicy) -> None:
        self._policy = policy
        self._guard = policy.stream(Direction.OUTPUT, each_rule_once=True)
        # Bytes that are no text become a character each, so that characters tell bytes.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        """Characters that were not released."""
        self._tokens: deque[TokenLogprob] = deque()
        self._ready = b""
        """Released bytes of the first of the tokens, masked where they are."""
        self._harmless: dict[bytes, bool] = {}
        """Alternatives behind which nothing is held back, by themselves."""
        self.blocked = False
        """A rule blocks; nothing comes out any more."""
        self.matches: tuple[RuleMatch, ...] = ()
        """What rules matched, once that is settled."""

    def push(self, tokens: Sequence[TokenLogprob]) -> tuple[TokenLogprob, ...]:
        """What may be shown of these tokens and of those held back."""
        out: list[TokenLogprob] = []
        for token in tokens:
            if self.blocked:
                break
            self._tokens.append(token._replace(alternatives=self._shown(token)))
            out += self._feed(self._decoder.decode(token.token))
        return tuple(out)

    def finish(self) -> tuple[TokenLogprob, ...]:
        """What was held back, once the answer is complete."""
        if self.blocked:
            return ()
        rest = self._feed(self._decoder.decode(b"", final=True))
        return (*rest, *(() if self.blocked else self._take(self._guard.finish())))

    def _feed(self, text: str) -> list[TokenLogprob]:
        self._text += text
        return self._take(self._guard.push("".join(map(_printable, text))))

    def _take(self, released: Released) -> list[TokenLogprob]:
        verdict = released.verdict
        if verdict is not None:
            self.blocked, self.matches = verdict.action is Action.BLOCK, verdict.matches
        said, self._text = self._text[: len(released.text)], self._text[len(released.text) :]
        for character, shown in zip(said, released.text, strict=True):
            raw = character.encode("utf-8", "surrogateescape")
            # A masked character is as long as it was: the tokens are cut by bytes.
            masked = shown == MASK and character != MASK
            self._ready += b"\0" * len(raw) if masked else raw
        return self._complete()

    def _complete(self) -> list[TokenLogprob]:
        out = []
        while self._tokens and len(self._tokens[0].token) <= len(self._ready):
            token = self._tokens.popleft()
            shown = self._ready[: len(token.token)]
            self._ready = self._ready[len(token.token) :]
            if shown != token.token:
                token = TokenLogprob(shown.replace(b"\0", MASK.encode()), token.logprob)
            out.append(token)
        return out

    def _shown(self, token: TokenLogprob) -> tuple[tuple[bytes, float], ...]:
        """The alternatives with which the answer would say nothing that a rule forbids."""
        held = "".join(map(_printable, self._text))
        begun: bytes = self._decoder.getstate()[0]
        return tuple(
            other for other in token.alternatives if self._is_harmless(held, begun + other[0])
        )

    def _is_harmless(self, held: str, more: bytes) -> bool:
        if not held and more in self._harmless:
            return self._harmless[more]
        verdict = self._policy.check(held + more.decode("utf-8", "replace"), Direction.OUTPUT)
        is_harmless = verdict.action <= Action.FLAG
        if not held:  # what is held back is another text each time: it would only fill memory
            self._harmless[more] = is_harmless
        return is_harmless


def _printable(character: str) -> str:
    return REPLACEMENT if "\udc80" <= character <= "\udcff" else character
