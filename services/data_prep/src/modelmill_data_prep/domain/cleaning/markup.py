"""Converts HTML to its visible text; Markdown and code stay.

The text is extracted from a stream of tags, without building a DOM. HTML5 error recovery copies
and searches open elements, so a crafted page of a megabyte can cost minutes and gigabytes. Here
each tag has constant cost, and misnested tags are taken literally.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from modelmill_data_prep.domain.cleaning.stage import apply_where, until_stable

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


_INLINE = (
    "a abbr acronym b bdi bdo big br button cite code data del dfn em font i img input ins kbd "
    "label link mark meta meter output picture progress q rp rt ruby s samp small source span "
    "strike strong sub sup time tt u var wbr"
)
INLINE_TAGS = frozenset(_INLINE.split())

_ENDLESS = "br hr img input link meta source wbr p li dt dd tr td th option"
_UNCLOSED = frozenset(_ENDLESS.split())
"""Tags without a required end tag."""

_KNOWN_TAGS = BLOCK_TAGS | INLINE_TAGS | SILENT_TAGS | CELL_TAGS
# Longest first, then by name, so that the pattern is the same in every process.
_NAMES = "|".join(sorted(sorted(_KNOWN_TAGS), key=len, reverse=True))
_SUSPECT = re.compile(r"<[A-Za-z/!]|&[A-Za-z#]")
_TAG = re.compile(rf"<(/?)({_NAMES})(?=[\s/>])([^<>]{{0,2000}})>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--[^<>]{0,20000}-->|<!DOCTYPE[^<>]{0,500}>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_CODE = re.compile(r"```.{0,100000}?(?:```|\Z)|`[^`\n]{1,1000}`", re.DOTALL)
_BREAK_AND_LINE = re.compile(r"(<br ?/?>)[ \t\r]{0,9}\n", re.IGNORECASE)


class Markup:
    """Removes tags and invisible elements, and decodes entities.

    A tag must have a known name and, if HTML requires it, an end tag; other uses of "<" stay. An
    entity stays if its character would form a tag or another entity.
    """

    name = "markup"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Extract the visible text."""
        return apply_where(texts, _SUSPECT, _settled_text)


def _settled_text(text: str) -> str:
    return until_stable(_text_of, text)


def _text_of(text: str) -> str:
    tags = _real_tags(text)
    if tags or _COMMENT.search(text):
        text = _read(text, tags)
    return "".join(part if is_code else _unescaped(part) for part, is_code in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Split the text into pieces, each with a flag whether it is code."""
    done = 0
    for code in _CODE.finditer(text):
        yield text[done : code.start()], False
        yield code.group(), True
        done = code.end()
    yield text[done:], False


def _tags_in(part: str) -> Iterator[tuple[re.Match[str], str, bool]]:
    """Candidates for tags: match, name, and whether it is an end tag."""
    for tag in _TAG.finditer(part):
        name, attributes = tag.group(2).lower(), tag.group(3)
        # "a <p and b> c" is not a paragraph: an optional-end tag must have valid attributes.
        if name not in _UNCLOSED or "=" in attributes or not attributes.strip("/ \t\r\n"):
            yield tag, name, bool(tag.group(1))


def _real_tags(text: str) -> frozenset[str]:
    """Names of genuine tags in a text."""
    opened: set[str] = set()
    closed: set[str] = set()
    for part, is_code in _parts(text):
        for _, name, is_end in () if is_code else _tags_in(part):
            (closed if is_end else opened).add(name)
    return frozenset(closed - SILENT_TAGS | opened & (_UNCLOSED | closed))


def _read(text: str, tags: frozenset[str]) -> str:
    """The visible text; HTML whitespace rules apply if the page has block elements."""
    page = PageText(collapse=bool(tags & (BLOCK_TAGS | CELL_TAGS)) and "```" not in text)
    for part, is_code in _parts(text):
        if is_code:
            page.add_text(part)
            continue
        part = _BREAK_AND_LINE.sub(r"\1", _COMMENT.sub("", part))
        done = 0
        for tag, name, is_end in _tags_in(part):
            if name in tags:
                page.add_text(part[done : tag.start()])
                (page.close if is_end else page.open)(name)
                done = tag.end()
        page.add_text(part[done:])
    return page.text()


def _unescaped(part: str) -> str:
    """Decode entities, except those that would form markup again."""
    if "&" not in part:
        return part
    entities = list(_ENTITY.finditer(part))
    pieces: list[str] = []
    places: list[int] = []
    done = length = 0
    for entity in entities:
        before, character = part[done : entity.start()], html.unescape(entity.group())
        length += len(before)
        places.append(length)
        pieces += before, character
        length += len(character)
        done = entity.end()
    plain = "".join([*pieces, part[done:]])
    for number, (entity, place) in enumerate(zip(entities, places, strict=True)):
        if any(pattern.match(plain, place) for pattern in (_TAG, _COMMENT, _ENTITY)):
            pieces[2 * number + 1] = entity.group()
    return "".join([*pieces, part[done:]])
