"""HTML by libxml2: what a reader of the page sees, block by block. Scripts are never run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.errors import DamagedDocumentError, NoTextError, ScriptedPageError
from modelmill_documents.readers.encoding import text_of

UNSEEN = frozenset(
    {
        "script", "style", "noscript", "template", "head", "iframe", "object", "svg", "math",
        "canvas", "select", "textarea", "button", "audio", "video",
    }
)  # fmt: skip
INLINE = frozenset(
    {
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font",
        "i", "img", "ins", "kbd", "label", "mark", "q", "ruby", "s", "samp", "small", "span",
        "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "td", "th", "rt", "rp",
        "input",
    }
)  # fmt: skip
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACES = re.compile(r"[ \t\r\n\f]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def read_html(path: Path) -> Iterator[DocumentBlock]:
    """Paragraphs, headings, items and rows of tables.

    Raises:
        DamagedDocumentError: Its bytes are no text.
        ScriptedPageError: It has scripts, and no text without them.
        NoTextError: It has no text.
    """
    text = text_of(path.read_bytes(), declares=True)
    if "\x00" in text[:4096]:
        raise DamagedDocumentError("the file is no page of HTML. Save the page again")
    found, page = False, _PageText()
    for block in page.blocks(text):
        found = True
        yield block
    if not found and page.scripts:
        raise ScriptedPageError(
            f"{page.scripts} scripts make the text of the page, and scripts are never run. Save"
            " the page as the browser shows it"
        )
    if not found:
        raise NoTextError("the page has no text. Leave it out")


def blocks_of_html(text: str) -> Iterator[DocumentBlock]:
    """Blocks of a page or a part of one."""
    return _PageText().blocks(text)


class _PageText:
    """The text of a page, walked tag by tag and without recursion, however deep it is."""

    def __init__(self) -> None:
        self.scripts = 0
        self._parts: list[str] = []
        self._level = 0
        self._unseen = 0
        """How many of the open tags are not shown."""
        self._pre = 0

    def blocks(self, text: str) -> Iterator[DocumentBlock]:
        """Read a page; its tags need be neither closed nor right."""
        root = _root_of(text)
        if root is None:
            return
        for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
            if event in ("comment", "pi"):
                self._say(node.tail)
            elif event == "start":
                yield from self._open(node, str(node.tag))
            else:
                yield from self._close(node, str(node.tag))
        yield from self._block()

    def _open(self, node: Any, tag: str) -> Iterator[DocumentBlock]:
        self.scripts += tag == "script"
        self._unseen += _is_unseen(node, tag)
        yield from self._break(tag)
        self._pre += tag == "pre"
        self._level = HEADINGS.get(tag, self._level)
        if tag == "br" and not self._unseen:
            self._parts.append("\n")
        self._say(node.text)

    def _close(self, node: Any, tag: str) -> Iterator[DocumentBlock]:
        yield from self._break(tag)
        self._unseen -= _is_unseen(node, tag)
        self._pre -= tag == "pre"
        if tag in HEADINGS:
            self._level = 0
        if tag in ("td", "th") and not self._unseen:
            self._parts.append("\t")
        self._say(node.tail)

    def _say(self, text: str | None) -> None:
        if text and not self._unseen:
            self._parts.append(text if self._pre else _SPACES.sub(" ", text))

    def _break(self, tag: str) -> Iterator[DocumentBlock]:
        """A block begins and ends with a tag, unless that stands within lines."""
        if not self._unseen and tag not in INLINE and tag != "br":
            yield from self._block()

    def _block(self) -> Iterator[DocumentBlock]:
        lines = "".join(self._parts).split("\n")
        self._parts = []
        text = "\n".join(line.rstrip() if self._pre else line.strip(" \t") for line in lines)
        if text := text.strip():
            yield DocumentBlock(text, None, self._level)


def _root_of(text: str) -> Any:
    parser = etree.HTMLParser(no_network=True, huge_tree=True)
    try:
        # As text and not as bytes: what the page declares is decided before.
        parser.feed(text)
        return parser.close()
    except etree.XMLSyntaxError:
        return None


def _is_unseen(node: Any, tag: str) -> bool:
    if tag in UNSEEN or node.get("hidden") is not None:
        return True
    style = node.get("style")
    return style is not None and _HIDDEN.search(style) is not None
