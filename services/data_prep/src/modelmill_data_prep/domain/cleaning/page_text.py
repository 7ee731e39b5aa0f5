"""What a reader sees of a page that is told tag by tag: its texts, and where lines begin.

No tree is made. Browsers' rules for tags in a wrong order copy and search what is open, so that a
page of a megabyte can be made to cost them minutes and gigabytes; here each tag costs little, and
what is in a wrong order is read as it stands.
"""

import re
from collections import Counter

_BLOCKS = (
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main nav ol option p pre "
    "section select summary table tbody tfoot thead tr ul"
)
BLOCK_TAGS = frozenset(_BLOCKS.split())
"""Before and after these a reader sees a new line."""

CELL_TAGS = frozenset(("td", "th"))

_SILENT = (
    "audio canvas embed head iframe map noscript object script style svg template textarea title "
    "video"
)
SILENT_TAGS = frozenset(_SILENT.split())
"""What is in these no reader sees."""

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
"""What ends, without an end of its own, where another one begins beside it."""

_BLANKS = re.compile(r"\s+")
_LINES = re.compile(r"\n{3,}")


class PageText:
    """Takes a page's texts and tags in their order.

    Args:
        collapse: Blanks and line breaks in texts are those of HTML: one space.
    """

    def __init__(self, *, collapse: bool) -> None:
        self._collapse = collapse
        self._pieces: list[str] = []
        self._open: list[str] = []
        """Blocks and cells that have begun, the innermost last."""
        self._opened: Counter[str] = Counter()
        """How many of `_open` have each name."""
        self._silent = ""
        self._silent_depth = 0
        self._hidden: list[str] = []
        """Texts since something silent began, should it never end."""

    def say(self, text: str) -> None:
        """A text between two tags."""
        if self._silent:
            self._hidden.append(text)
        elif self._collapse and not self._opened["pre"]:
            self._pieces.append(_BLANKS.sub(" ", text))
        else:
            self._pieces.append(text)

    def open(self, name: str) -> None:
        """A tag that begins something."""
        if self._silent:
            self._silent_depth += name == self._silent
        elif name in SILENT_TAGS:
            self._silent, self._silent_depth = name, 1
        elif name in ("br", "hr"):
            self._pieces.append("\n" if name == "br" else "\n\n")
        elif name in BLOCK_TAGS or name in CELL_TAGS:
            ended = _ENDED_BY.get(name, ())
            # Nothing but texts stands in a paragraph.
            while self._open and (self._open[-1] in ended or self._open[-1] == "p"):
                self._end_innermost()
            self._pieces.append("\n" if name in BLOCK_TAGS else " ")
            self._open.append(name)
            self._opened[name] += 1

    def close(self, name: str) -> None:
        """A tag that ends something; one that ends nothing is a new line where a block would be."""
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
        """All that is seen. What is silent and never ends is no such thing, and is seen."""
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
