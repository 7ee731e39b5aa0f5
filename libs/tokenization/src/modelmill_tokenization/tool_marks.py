"""Special tokens that mark calls, in a text that otherwise hides special tokens."""

from collections.abc import Iterable, Mapping

FIRST_MARK = 0xDC00
"""Half a surrogate pair: no text of a tokenizer has one, so a mark is never mistaken for text."""
MAX_MARKS = 0x400


class ToolMarks:
    """A character for each special token that a call is written with.

    Args:
        special: names of special tokens by id.
        texts: what calls are written with.
    """

    def __init__(self, special: Mapping[int, str], texts: Iterable[str]) -> None:
        written = "\n".join(texts)
        found = [(token, name) for token, name in special.items() if name and name in written]
        # A name may be part of another; the longer one is the token.
        found.sort(key=lambda entry: (-len(entry[1]), entry[0]))
        marks = {name: chr(FIRST_MARK + place) for place, (_, name) in enumerate(found[:MAX_MARKS])}
        self.by_id: dict[int, str] = {token: marks[name] for token, name in found[:MAX_MARKS]}
        self._by_name = marks
        self._names = {ord(mark): name for name, mark in marks.items()}

    def mark(self, text: str) -> str:
        """The text with a mark for each name of such a token."""
        for name, mark in self._by_name.items():
            text = text.replace(name, mark)
        return text

    def unmark(self, text: str) -> str:
        """The text with the name of each marked token."""
        return text.translate(self._names) if self._names else text
