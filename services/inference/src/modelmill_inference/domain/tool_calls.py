"""Streaming parser that separates tool calls from the text of an answer."""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from modelmill_tokenization.token_decoder import ToolMarks
from modelmill_tokenization.tool_format import ToolFormat

from modelmill_inference.domain.call_reader import CallReader, NotACallError, ReadCall

MAX_CALL_CHARACTERS = 100_000
"""Maximum length of a call."""
RESCANNED_CHARACTERS = 1024
"""Text that is not a call is searched for calls again up to this length, which avoids quadratic
time for texts with many call openings."""
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH = 9
"""Required by Mistral's templates; other templates accept any."""


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """A tool call of the model."""

    id: str
    name: str
    arguments: str
    """JSON object text."""


@dataclass(slots=True)
class Parsed:
    """Final parts of an answer."""

    text: str = ""
    """Text that is not part of a call."""
    calls: list[ParsedToolCall] = field(default_factory=list)


def new_call_id() -> str:
    """An id that every template accepts."""
    return "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))


class ToolCallParser:
    """Separates an answer into text and calls; the result does not depend on how it is split.

    A malformed call, or a call of a function that was not offered, is text.

    Args:
        form: call format of the model.
        marks: text marks of its special tokens.
        names: functions that were offered.
    """

    def __init__(
        self,
        form: ToolFormat,
        marks: ToolMarks,
        names: Collection[str],
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._form = form
        self._marks = marks
        self._names = names
        self._new_id = new_id
        openings = [form.opening, *form.also_opens]
        # The reader matches later parts of an opening, ignoring white space.
        parts = [marks.mark(opening).split(maxsplit=1) for opening in openings if opening]
        self._openings = {part[0]: "".join(part[1:]) for part in parts}
        self._bare = "" in openings
        """Whether an answer may start with a call without opening."""
        self._left = ""
        """Undecided text."""
        self._reader: CallReader | None = None
        self._read = ""
        """Text read since the last call."""
        self._finished = False
        self._has_called = False
        self._space: str | None = ""
        """White space that is emitted before text, but not before a call; None inside text."""

    def push(self, text: str) -> Parsed:
        """Add text; returns the parts that are final."""
        parsed = Parsed()
        self._left += text
        while self._left:
            if self._reader is not None:
                self._read_on(parsed)
            elif not self._find_opening(parsed):
                break
        return parsed

    def finish(self) -> Parsed:
        """The rest, at the end of the answer."""
        self._finished = True
        parsed = self.push("")
        while self._reader is not None:
            self._give_up(parsed)
            rest = self.push("")
            parsed.text += rest.text
            parsed.calls += rest.calls
        if self._space and not self._has_called:
            parsed.text += self._space
        return parsed

    def _find_opening(self, parsed: Parsed) -> bool:
        """Emit text up to the next opening; False if more text is needed."""
        if self._bare and not self._begins_bare(parsed):
            return False
        if self._reader is not None:
            return True
        found = [(at, it) for it in self._openings if (at := self._left.find(it)) >= 0]
        if found:
            at, opening = min(found)
            self._say(parsed, self._left[:at])
            self._left = self._left[at + len(opening) :]
            self._start(opening, self._openings[opening])
            return True
        keep = 0
        if not self._finished:
            keep = max((_overlap(self._left, it) for it in self._openings), default=0)
        cut = len(self._left) - keep
        self._say(parsed, self._left[:cut])
        self._left = self._left[cut:]
        return False

    def _begins_bare(self, parsed: Parsed) -> bool:
        """Start a call if the answer starts like one; False if undecided."""
        start = len(self._left) - len(self._left.lstrip())
        if start == len(self._left) and not self._finished:
            return False
        self._bare = False
        if self._left[start : start + 1] == "{":
            self._say(parsed, self._left[:start])
            self._left = self._left[start:]
            self._start("", "")
        return True

    def _start(self, opening: str, rest: str) -> None:
        self._read = opening
        self._reader = CallReader(self._form, self._marks, rest, self._names)

    def _read_on(self, parsed: Parsed) -> None:
        """Feed the reader until a call is complete, or it fails, or the text ends."""
        assert self._reader is not None
        for place, character in enumerate(self._left):
            self._read += character
            try:
                call = self._reader.feed(character)
                if call is not None:
                    self._take(parsed, call)
                unread = self._reader.unread
                if len(self._read) > MAX_CALL_CHARACTERS:
                    raise NotACallError
            except NotACallError:
                self._left = self._left[place + 1 :]
                self._give_up(parsed)
                return
            if unread is not None:
                self._left = self._left[place + 1 :]
                self._leave(parsed, unread)
                return
        self._left = ""

    def _take(self, parsed: Parsed, call: ReadCall) -> None:
        parsed.calls.append(ParsedToolCall(self._new_id(), call.name, call.arguments))
        self._read, self._space, self._has_called = "", "", True

    def _give_up(self, parsed: Parsed) -> None:
        """Stop reading: the text is not a call."""
        assert self._reader is not None
        unread = self._reader.undecided if self._reader.has_called else len(self._read)
        self._leave(parsed, unread)

    def _leave(self, parsed: Parsed, unread: int) -> None:
        """Stop reading; the last `unread` characters are text, or searched again."""
        back = self._read[len(self._read) - unread :] if unread else ""
        failed = self._reader is not None and not self._reader.has_called
        self._reader, self._read = None, ""
        # Where an opening stood it has been tried.
        tried = 1 if failed else 0
        self._say(parsed, back[:tried])
        rest = back[tried:]
        if len(rest) > RESCANNED_CHARACTERS:
            self._say(parsed, rest)
            rest = ""
        self._left = rest + self._left

    def _say(self, parsed: Parsed, text: str) -> None:
        if self._space is not None:
            text = self._space + text
            self._space = text if not text or text.isspace() else None
            if self._space is not None:
                return
        parsed.text += self._marks.unmark(text)


def _overlap(text: str, opening: str) -> int:
    """Length of the longest end of `text` with which `opening`, still incomplete, begins."""
    longest = min(len(text), len(opening) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(opening[:n])), 0)
