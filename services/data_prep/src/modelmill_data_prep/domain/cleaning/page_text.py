"""Streaming extraction of a page's visible text, without building a DOM.

HTML5 error recovery copies and searches open elements, so a crafted page of a megabyte can cost
minutes and gigabytes. Here each tag has constant cost, and misnested tags are taken literally.
"""

import re
from collections import Counter

_BLOCKS = (
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main nav ol option p pre "
    "section select summary table tbody tfoot thead tr ul"
)
BLOCK_TAGS = frozenset(_BLOCKS.split())
"""Block elements: rendered with line breaks around them."""

CELL_TAGS = frozenset(("td", "th"))

_SILENT = (
    "audio canvas embed head iframe map noscript object script style svg template textarea title "
    "video"
)
SILENT_TAGS = frozenset(_SILENT.split())
"""Elements whose content is not rendered."""

_ROWS = ("td", "th", "tr")
_ENDED_BY = {
    "li": ("li",),
    "dt": ("dt", "dd"),
    "dd": ("dt", "dd"),
    "option": ("option",),
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tr": _ROWS,
    "tbody": (*_ROWS, "tbody", "thead", "tfoot"),
    "tfoot": (*_ROWS, "tbody", "thead", "tfoot"),
}
"""Elements that a following sibling closes implicitly."""

_BLANKS = re.compile(r"\s+")
_LINES = re.compile(r"\n{3,}")


class PageText:
    """Receives texts and tags in document order.


    Args:
        collapse: Whether to collapse whitespace by HTML's rules.
    """

    def __init__(self, *, collapse: bool) -> None:
        self._collapse = collapse
        self._pieces: list[str] = []
        self._open: list[str] = []
        """Open blocks and cells, innermost last."""
        self._opened: Counter[str] = Counter()
        """Count of open elements by name."""
        self._silent = ""
        self._silent_depth = 0
        self._hidden: list[str] = []
        """Text inside an invisible element, restored if it is never closed."""

    def add_text(self, text: str) -> None:
        """Text between two tags."""
        if self._silent:
            self._hidden.append(text)
        elif self._collapse and not self._opened["pre"]:
            self._pieces.append(_BLANKS.sub(" ", text))
        else:
            self._pieces.append(text)

    def open(self, name: str) -> None:
        """A start tag."""
        if self._silent:
            self._silent_depth += name == self._silent
        elif name in SILENT_TAGS:
            self._silent, self._silent_depth = name, 1
        elif name in ("br", "hr"):
            self._pieces.append("\n" if name == "br" else "\n\n")
        elif name in BLOCK_TAGS or name in CELL_TAGS:
            ended = _ENDED_BY.get(name, ())
            # A paragraph cannot contain blocks.
            while self._open and (self._open[-1] in ended or self._open[-1] == "p"):
                self._end_innermost()
            self._pieces.append("\n" if name in BLOCK_TAGS else " ")
            self._open.append(name)
            self._opened[name] += 1

    def close(self, name: str) -> None:
        """An end tag; an unmatched one of a block becomes a line break."""
        if self._silent:
            self._silent_depth -= name == self._silent
            if not self._silent_depth:
                self._silent = ""
                self._hidden.clear()
        elif self._opened[name]:
            while self._end_innermost() != name:
                pass
        elif name in BLOCK_TAGS:
            self._pieces.append("\n")

    def text(self) -> str:
        """The visible text, including that of unclosed invisible elements."""
        text = "".join([*self._pieces, *self._hidden])
        if self._collapse:
            text = _LINES.sub("\n\n", "\n".join(line.strip(" ") for line in text.split("\n")))
        return text.strip()

    def _end_innermost(self) -> str:
        name = self._open.pop()
        self._opened[name] -= 1
        if name in BLOCK_TAGS:
            self._pieces.append("\n")
        return name
