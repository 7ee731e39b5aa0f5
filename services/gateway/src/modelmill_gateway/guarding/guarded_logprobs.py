"""Tokens of an answer on their way out: they say again what was said, and more than was said."""

import codecs
from collections import deque
from collections.abc import Sequence

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, Direction, Released, RuleMatch

from modelmill_gateway.domain.chat import TokenLogprob

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class GuardedLogprobs:
    """Releases tokens once no rule can turn their text into a match; masks what rules mask.

    It judges the tokens as a text of its own. An alternative is shown where no rule has begun
    before it, if no rule matches it.
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
        """The alternatives that say nothing that a rule forbids."""
        if self._text or self._decoder.getstate()[0]:
            return ()
        return tuple(other for other in token.alternatives if self._is_harmless(other[0]))

    def _is_harmless(self, token: bytes) -> bool:
        if token not in self._harmless:
            verdict = self._policy.check(token.decode("utf-8", "replace"), Direction.OUTPUT)
            self._harmless[token] = verdict.action <= Action.FLAG
        return self._harmless[token]


def _printable(character: str) -> str:
    return REPLACEMENT if "\udc80" <= character <= "\udcff" else character
