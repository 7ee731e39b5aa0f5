"""Where in a rendered conversation the assistant speaks.

The last answer is no part of the rendering: it is what follows the prompt. Answers before it are
stretches of the prompt, and a template may write them in its own way: trimmed, without their
thoughts, or not at all. Only what it writes as it was given is found; the rest is counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.tool_turns import Function, Turn

_QUESTION: Turn = {"role": "user", "content": "question"}


class Rendered(NamedTuple):
    """A conversation as text."""

    prompt: str
    """All up to the point where the assistant speaks for the last time."""

    answer: str
    """What it says then, with the end of its turn."""

    spans: list[tuple[int, int]]
    """Characters of `prompt` from and to which the assistant spoke before, end of turn included."""

    unfound: int
    """Answers before the last one that are not in `spans`."""


class AnswerFinder:
    """Renders conversations of one model, and finds what the assistant says in them."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._end = tokenizer.end_of_turn
        self._head = self._find_head()

    def render(self, messages: Sequence[Turn], tools: Sequence[Function] = ()) -> Rendered:
        """The conversation; its last turn is the assistant's.

        Raises:
            InvalidInputError: the last turn is not the assistant's, nothing comes before it, or
                the chat template refuses the turns or writes calls that no model could write.
        """
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise InvalidInputError("an example is a prompt followed by an assistant's turn")
        before = messages[:-1]
        prompt = self._tokenizer.render(before, add_generation_prompt=True, tools=tools)
        answer = self._last_answer(messages, tools, prompt)
        places = [place for place, turn in enumerate(before) if turn["role"] == "assistant"]
        if not places:
            return Rendered(prompt, answer, [], 0)
        starts = self._starts(before, tools, prompt, places)
        spans: list[tuple[int, int]] = []
        for place, start in zip(places, starts, strict=True):
            end = None if start is None else self._end_of(before, tools, prompt, place, start)
            # A stretch that begins within the one before would be learned twice.
            if start is not None and end is not None and (not spans or start >= spans[-1][1]):
                spans.append((start, end))
        return Rendered(prompt, answer, spans, len(places) - len(spans))

    def _last_answer(self, messages: Sequence[Turn], tools: Sequence[Function], prompt: str) -> str:
        last = messages[-1]
        if not last.get("tool_calls"):
            return last["content"] + self._end
        whole = self._tokenizer.render(messages, add_generation_prompt=False, tools=tools)
        said = self._up_to_end(whole, prompt)
        if not said:
            raise InvalidInputError("the model's chat template does not write calls as an answer")
        return said

    def _up_to_end(self, whole: str, prompt: str) -> str:
        """What follows the prompt, up to the last end of a turn; empty when it cannot be told."""
        if not whole.startswith(prompt):
            return ""
        said = whole[len(prompt) :]
        return said[: said.rfind(self._end) + len(self._end)] if self._end in said else ""

    def _find_head(self) -> str:
        """What the template writes before an answer; empty when it writes nothing of its own."""
        try:
            asked = self._tokenizer.render([_QUESTION], add_generation_prompt=False)
            waiting = self._tokenizer.render([_QUESTION], add_generation_prompt=True)
        except InvalidInputError:
            return ""
        return waiting[len(asked) :] if waiting.startswith(asked) else ""

    def _starts(
        self,
        before: Sequence[Turn],
        tools: Sequence[Function],
        prompt: str,
        places: Sequence[int],
    ) -> list[int | None]:
        """Where the answer of each of `places` begins."""
        if self._head:
            pieces = prompt.split(self._head)
            # As many heads as answers, the last one's included: each is where it says it is.
            if len(pieces) == len(places) + 2 and not pieces[-1]:
                starts: list[int | None] = []
                at = 0
                for piece in pieces[: len(places)]:
                    at += len(piece) + len(self._head)
                    starts.append(at)
                return starts
        return [self._start_of(before[:place], tools, prompt) for place in places]

    def _start_of(
        self, before: Sequence[Turn], tools: Sequence[Function], prompt: str
    ) -> int | None:
        """The same, by rendering what comes before it; slower, and right where a head is not."""
        try:
            beginning = self._tokenizer.render(before, add_generation_prompt=True, tools=tools)
        except InvalidInputError:
            return None
        return len(beginning) if prompt.startswith(beginning) else None

    def _end_of(
        self,
        before: Sequence[Turn],
        tools: Sequence[Function],
        prompt: str,
        place: int,
        start: int,
    ) -> int | None:
        """Behind the end of the turn that begins at `start`; None when it is not as given."""
        turn = before[place]
        if turn.get("tool_calls"):
            try:
                whole = self._tokenizer.render(
                    before[: place + 1], add_generation_prompt=False, tools=tools
                )
            except InvalidInputError:
                return None
            said = self._up_to_end(whole, prompt[:start])
            return start + len(said) if said and prompt.startswith(said, start) else None
        said = turn["content"].strip()
        at = _behind_white_space(prompt, start)
        if not prompt.startswith(said, at):
            return None
        if not self._end:
            return at + len(said)
        end = _behind_white_space(prompt, at + len(said))
        return end + len(self._end) if prompt.startswith(self._end, end) else None


def _behind_white_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
