"""Pages of the site: Markdown of the repository, and reference that is read from the code.

A document of `docs/` keeps its path; READMEs and others get one. Links between documents lead to
their pages. What else a link means (code, data) is not part of the site, and is named instead.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from deploy.site.reference import REFERENCE_FILES, REFERENCE_PAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ROOT / "build" / "docs-pages"
TOP = {
    "README.md": "index.md",
    "README.zh.md": "zh/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
REFERENCE = "docs/reference/index.md"
"""Its headings stand for the pages that are read from the code."""
READMES = (
    *("libs/*/README.md", "services/*/README.md", "deploy/**/*.md"),
    *("examples/**/README.md", "tests/**/README.md"),
)
CHINESE_READMES = "examples/**/README.zh.md"
FENCE = re.compile(r"^(?P<indent> *)```.*?^(?P=indent)```$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"^ *<!-- not run: .*? -->\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)"
    r"|^\[(?P<name>[^\]]+)\]: (?P<named>\S+)$",
    re.MULTILINE,
)


def pages_of_tree() -> dict[str, str]:
    """Paths of documents in the repository, and of their pages in the site."""
    found = dict(TOP)
    for file in sorted(DOCS.rglob("*")):
        if file.is_file():
            found[_name(file)] = str(file.relative_to(DOCS).as_posix())
    for pattern in READMES:
        for file in sorted(ROOT.glob(pattern)):
            if "node_modules" not in file.parts:
                path = PurePosixPath(_name(file))
                page = path.parent if path.stem == "README" else path.with_suffix("")
                found[str(path)] = f"parts/{page}.md"
    for file in sorted(ROOT.glob(CHINESE_READMES)):
        found[_name(file)] = f"zh/parts/{_name(file.parent)}.md"
    return {source: page for source, page in found.items() if (ROOT / source).is_file()}


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def page_text(source: str, pages: Mapping[str, str]) -> str:
    """A document as the site has it.

    Args:
        source: its path in the repository.
        pages: pages by the paths of documents.
    """
    text = MARKER.sub("", (ROOT / source).read_text("utf-8"))
    fences = list(FENCE.finditer(text))
    parts, end = [], 0
    for fence in fences:
        parts += [_linked(text[end : fence.start()], source, pages), fence[0]]
        end = fence.end()
    return "".join([*parts, _linked(text[end:], source, pages)])


def _linked(prose: str, source: str, pages: Mapping[str, str]) -> str:
    def place(link: re.Match[str]) -> str:
        target = link["target"] or link["named"]
        if ":" in target or target.startswith("#"):
            return link[0]
        path, _, anchor = target.partition("#")
        meant = normpath(str(PurePosixPath(source).parent / path))
        page = pages.get(meant) or pages.get(f"{meant}/README.md")
        if f"reference/{anchor}.md" in REFERENCE_PAGES and meant == REFERENCE:
            page, anchor = f"reference/{anchor}.md", ""
        if page is None:
            return f"{link['text']} (`{meant}`)" if link["target"] else ""
        there = relpath(page, str(PurePosixPath(pages[source]).parent))
        there += f"#{anchor}" if anchor else ""
        if link["named"]:
            return f"[{link['name']}]: {there}"
        return f"{link['image']}[{link['text']}]({there})"

    return LINK.sub(place, prose)


def write_pages() -> None:
    """Write all pages, in place of earlier ones."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = pages_of_tree()
    for source, page in pages.items():
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.endswith(".md"):
            target.write_text(page_text(source, pages), "utf-8")
        else:
            shutil.copyfile(ROOT / source, target)
    for page, text_of in {**REFERENCE_PAGES, **REFERENCE_FILES}.items():
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text_of(), "utf-8")
