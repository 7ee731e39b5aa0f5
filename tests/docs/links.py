"""Links between documents of the repository, and the anchors that they lead to."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.docs.blocks import FENCE

LINK = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE
)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")


def links_of(document: Path) -> Iterator[str]:
    """Its relative links; those to other hosts and to mail are no concern of ours."""
    prose = CODE.sub("", FENCE.sub("", document.read_text("utf-8")))
    for inline, named in LINK.findall(prose):
        link = inline or named
        if not re.match(r"[a-z]+:", link):
            yield link


def is_broken(link: str, document: Path) -> bool:
    """Whether it leads to no file, or to no heading of one."""
    path, _, anchor = link.partition("#")
    file = document.parent / path if path else document
    if not file.exists():
        return True
    # Behind a picture stands the theme of the site in which it is shown.
    return bool(anchor) and file.suffix == ".md" and anchor not in anchors_of(file)


@cache
def anchors_of(document: Path) -> frozenset[str]:
    """The anchors of its headings, as GitHub and the site make them."""
    prose = FENCE.sub("", document.read_text("utf-8"))
    return frozenset(_anchor(title) for title in HEADING.findall(prose))


def _anchor(title: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", title.replace("`", "").lower())
    return plain.strip().replace(" ", "-")
