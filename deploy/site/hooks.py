"""Hooks of mkdocs: the site needs no inline script, fetches nothing from elsewhere, and has no
dead link.

Runs in the environment of mkdocs, which has nothing of ours.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
MERMAID = re.compile(r"https://unpkg\.com/[^\"'`]+")
"""Where the theme would fetch a library from, if a page had a diagram for it."""
FETCHING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
OF_STYLES = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")


class SitePage(HTMLParser):
    """What a page fetches, links to, names, and would run or style within itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Of any element."""
        given = {name: value or "" for name, value in attributes}
        if address := given.get(FETCHING.get(tag, "")):
            self.fetched.append(address)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style":
            self.inline.append(tag)


def on_post_build(config: Any, **_: Any) -> None:
    """Move scripts out of pages, then check all of the site."""
    # Here, so that tests have the checks without mkdocs.
    from mkdocs.exceptions import PluginError

    site = Path(config["site_dir"])
    for file in [site / "404.html", *site.glob("sitemap.xml*"), *site.rglob("*.map")]:
        file.unlink(missing_ok=True)
    for file in (site / "assets" / "javascripts").glob("*.js"):
        file.write_text(MERMAID.sub("", file.read_text("utf-8")), "utf-8")
    for file in site.rglob("*.html"):
        file.write_text(without_inline_scripts(file, site), "utf-8")
    if found := faults_of(site):
        raise PluginError(f"{len(found)} faults of the site:\n" + "\n".join(found[:40]))


def faults_of(site: Path) -> list[str]:
    """What pages fetch from elsewhere, run or style within themselves, or lead to in vain."""
    pages = {
        file.relative_to(site).as_posix(): SitePage(file.read_text("utf-8"))
        for file in sorted(site.rglob("*.html"))
    }
    return [*_faults(pages, site), *_faults_of_styles(site)]


def without_inline_scripts(file: Path, site: Path) -> str:
    """The page, with each of its scripts as a file of its own."""
    upwards = "../" * (len(file.relative_to(site).parts) - 1)

    def moved(script: re.Match[str]) -> str:
        name = f"assets/inline/{sha256(script[1].encode()).hexdigest()[:16]}.js"
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(script[1], "utf-8")
        return f'<script src="{upwards}{name}"></script>'

    return INLINE.sub(moved, file.read_text("utf-8"))


def _faults(pages: dict[str, SitePage], site: Path) -> Iterator[str]:
    for name, page in pages.items():
        yield from (f"{name}: fetches {it}" for it in page.fetched if _is_elsewhere(it))
        yield from (f"{name}: has `{it}` within" for it in page.inline)
        yield from (
            f"{name}: dead link {it}" for it in page.links if _is_dead(it, name, pages, site)
        )


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.scheme or parts.netloc) and parts.scheme != "data"


def _is_dead(link: str, name: str, pages: dict[str, SitePage], site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    meant = normpath(f"{name}/../{unquote(parts.path)}") if parts.path else name
    if not parts.fragment or meant not in pages:
        return not (site / meant).is_file()
    anchor = unquote(parts.fragment)
    return anchor not in pages[meant].ids and not anchor.startswith("__")


def _faults_of_styles(site: Path) -> Iterator[str]:
    for file in site.rglob("*.css"):
        if OF_STYLES.search(file.read_text("utf-8")):
            yield f"{file.relative_to(site)}: fetches from elsewhere"
