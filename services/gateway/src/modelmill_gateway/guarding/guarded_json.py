"""JSON text on its way out, judged as its readers will read it: without its escapes."""

import re
from collections import deque

from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.stream import MASK
from modelmill_guard.verdict import Action, Direction, Released, RuleMatch

_PIECE = re.compile(r"\\u[0-9A-Fa-f]{4}|\\[^u]|\\u(?=.{0,3}[^0-9A-Fa-f])|[^\\]", re.DOTALL)
"""An escape, one that is none, or a character that stands for itself."""
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_UNPAIRED = "\N{REPLACEMENT CHARACTER}"


class GuardedJson:
    """Releases text once no rule can turn what it spells into a match.

    A masked character that was escaped leaves as one star, without its escape.
    """

    def __init__(self, policy: CompiledPolicy) -> None:
        self._guard = policy.stream(Direction.OUTPUT, each_rule_once=True)
        self._left = ""
        """The beginning of an escape."""
        self._high = ""
        """The first half of a character that is spelled by two escapes."""
        self._written: deque[str] = deque()
        """How each character that was not released is written."""
        self._spelled = ""
        self.blocked = False
        """A rule blocks; nothing comes out any more."""
        self.matches: tuple[RuleMatch, ...] = ()
        """What rules matched, once that is settled."""
        self.has_masked = False
        """A character that was escaped was masked."""

    def push(self, text: str) -> str:
        """What may be shown of this text and of what was held back."""
        if self.blocked:
            return ""
        self._left += text
        at, spelled = 0, ""
        while found := _PIECE.match(self._left, at):
            spelled += self._read(found.group())
            at = found.end()
        self._left = self._left[at:]
        return self._released(spelled)

    def finish(self) -> str:
        """What was held back, once the text is complete."""
        rest = self._read_high() if self._high else ""
        for character in self._left:
            rest += self._add(character, character)
        self._left = ""
        text = self._released(rest)
        return text if self.blocked else text + self._take(self._guard.finish())

    @property
    def holds(self) -> bool:
        """Whether anything is held back."""
        return bool(self._left or self._high or self._written)

    def _read(self, piece: str) -> str:
        """The characters that are complete with this piece."""
        before = ""
        code = int(piece[2:], 16) if len(piece) == 6 else 0
        if self._high:
            if 0xDC00 <= code <= 0xDFFF:
                written, self._high = self._high + piece, ""
                pair = 0x10000 + ((int(written[2:6], 16) - 0xD800) << 10) + code - 0xDC00
                return self._add(written, chr(pair))
            before = self._read_high()
        if 0xD800 <= code <= 0xDBFF:
            self._high = piece
            return before
        if code:
            character = _UNPAIRED if 0xDC00 <= code <= 0xDFFF else chr(code)
        else:
            character = _ESCAPED.get(piece[-1], piece[-1]) if len(piece) == 2 else piece[-1]
        return before + self._add(piece, character)

    def _read_high(self) -> str:
        written, self._high = self._high, ""
        return self._add(written, _UNPAIRED)

    def _add(self, written: str, character: str) -> str:
        self._written.append(written)
        return character

    def _released(self, spelled: str) -> str:
        self._spelled += spelled
        return self._take(self._guard.push(spelled)) if spelled else ""

    def _take(self, released: Released) -> str:
        verdict = released.verdict
        if verdict is not None:
            self.blocked, self.matches = verdict.action is Action.BLOCK, verdict.matches
        shown = []
        for place, character in enumerate(released.text):
            written = self._written.popleft()
            masked = character == MASK and self._spelled[place] != MASK
            self.has_masked |= masked and len(written) > 1
            shown.append(MASK if masked else written)
        self._spelled = self._spelled[len(released.text) :]
        return "".join(shown)
