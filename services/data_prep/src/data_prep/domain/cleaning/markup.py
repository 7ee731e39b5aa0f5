"""HTML as the text that a reader of the page sees. Markdown and code stay as they are."""

import html
import re
from collections.abc import Callable, Iterator, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

from data_prep.domain.cleaning.batches import changed_where, until_stable

_BLOCKS = (
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main nav ol option p pre "
    "section select summary table tbody tfoot thead tr ul"
)
BLOCK_TAGS = frozenset(_BLOCKS.split())
"""Before and after these a reader sees a new line."""

_CELL_TAGS = frozenset(("td", "th"))

_INLINE = (
    "a abbr acronym b bdi bdo big br button cite code data del dfn em font i img input ins kbd "
    "label link mark meta meter output picture progress q rp rt ruby s samp small source span "
    "strike strong sub sup time tt u var wbr"
)
INLINE_TAGS = frozenset(_INLINE.split())

_SILENT = (
    "audio canvas embed head iframe map math noscript object script style svg template textarea "
    "title video"
)
SILENT_TAGS = frozenset(_SILENT.split())
"""What is in these no reader sees."""

_ENDLESS = "br hr img input link meta source wbr p li dt dd tr td th option"
_UNCLOSED = frozenset(_ENDLESS.split())
"""Tags that need no end."""

_KNOWN_TAGS = BLOCK_TAGS | INLINE_TAGS | SILENT_TAGS | _CELL_TAGS
# The longest first and then by name: the same pattern in every process.
_NAMES = "|".join(sorted(sorted(_KNOWN_TAGS), key=len, reverse=True))
_SUSPECT = re.compile(r"<[A-Za-z/!]|&[A-Za-z#]")
_TAG = re.compile(rf"<(/?)({_NAMES})(?=[\s/>])[^<>]{{0,2000}}>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--[^<>]{0,20000}-->|<!DOCTYPE[^<>]{0,500}>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_CODE = re.compile(r"```.{0,100000}?(?:```|\Z)|`[^`\n]{1,1000}`", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_SPACE_AT_LINE_ENDS = re.compile(" *\n *")
_BREAK_AND_LINE = re.compile(r"<br ?/?>[ \t\r]{0,9}\n", re.IGNORECASE)
_LINES = re.compile(r"\n{3,}")


class Markup:
    """No HTML: tags and what no reader sees are gone, entities are the characters they stand for.

    A tag counts when its name is known and, where HTML asks for an end, it has one; other uses of
    "<" stay. An entity stays where it stands for a character that would make a tag or an entity.
    """

    name = "markup"
    version = 1

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text as a reader sees it."""
        return changed_where(texts, _SUSPECT, _settled_text)


def _settled_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a character, which the parser does not take.
        return text
    return until_stable(_text_of, text)


def _text_of(text: str) -> str:
    tags = _real_tags(text)
    if tags or _COMMENT.search(text):
        blocks = bool(tags & (BLOCK_TAGS | _CELL_TAGS)) and "```" not in text
        text = _parsed(_escaped(text, tags), collapse=blocks)
    return _outside_code(text, _unescaped)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    pieces: list[str] = []
    done = 0
    for code in _CODE.finditer(text):
        pieces += change(text[done : code.start()]), code.group()
        done = code.end()
    return "".join([*pieces, change(text[done:])])


def _real_tags(text: str) -> frozenset[str]:
    """Names of the tags in a text that are meant as such."""
    opened: set[str] = set()
    closed: set[str] = set()

    def note(part: str) -> str:
        for slash, name in _TAG.findall(part):
            (closed if slash else opened).add(name.lower())
        return part

    _outside_code(text, note)
    return frozenset(closed - SILENT_TAGS | opened & (_UNCLOSED | closed))


def _escaped(text: str, tags: frozenset[str]) -> str:
    """`text` in which the parser sees the tags that are meant as such, and nothing else."""

    def escape(part: str) -> str:
        return html.escape(part, quote=False)

    def escape_around_tags(part: str) -> str:
        pieces: list[str] = []
        done = 0
        part = _COMMENT.sub("", part)
        for tag in _TAG.finditer(part):
            if tag.group(2).lower() in tags:
                pieces += escape(part[done : tag.start()]), tag.group()
                done = tag.end()
        return "".join([*pieces, escape(part[done:])])

    pieces: list[str] = []
    done = 0
    for code in _CODE.finditer(text):
        pieces += escape_around_tags(text[done : code.start()]), escape(code.group())
        done = code.end()
    return "".join([*pieces, escape_around_tags(text[done:])])


def _parsed(source: str, *, collapse: bool) -> str:
    """The text of a page; with `collapse` its blanks and line breaks are those of HTML."""
    root = LexborHTMLParser(_BREAK_AND_LINE.sub("<br>", source)).root
    if root is None:
        return ""
    text = "".join(_pieces(root, collapse))
    if collapse:
        text = _LINES.sub("\n\n", _SPACE_AT_LINE_ENDS.sub("\n", text))
    return text.strip()


def _unescaped(part: str) -> str:
    """`part` with its entities as characters, but for those that would be markup again."""
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


def _pieces(root: LexborNode, collapse: bool) -> Iterator[str]:
    """Texts and line breaks below a node."""
    preformatted = 0
    for node, entering in _walk(root):
        tag = node.tag or ""
        if node.is_text_node:
            text = (entering and node.text_content) or ""
            yield _BLANKS.sub(" ", text) if collapse and not preformatted else text
        elif tag in BLOCK_TAGS or (tag == "br" and entering):
            yield "\n"
        elif tag in _CELL_TAGS and entering:
            yield " "
        if tag == "pre":
            preformatted += 1 if entering else -1


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every node when it is entered and when it is left, without recursion: pages nest deeply."""
    node = root
    entering = True
    while True:
        yield node, entering
        child = node.child if entering and node.tag not in SILENT_TAGS else None
        if child is not None:
            node = child
        elif entering:
            entering = False
        elif node.mem_id == root.mem_id:
            return
        else:
            following = node.next
            entering = following is not None
            parent = following or node.parent
            if parent is None:
                return
            node = parent
