"""The guide through the console shows each page of its router, in the language of the guide."""

import re
from pathlib import Path

import pytest

from tests.browser.console_router import page_names
from tests.docs.blocks import CHINESE, DOCS

GUIDES = {"en": DOCS / "how-to" / "console.md", "zh": CHINESE / "how-to" / "console.md"}
THEMES = ("light", "dark")
SHOWN = re.compile(r"!\[[^\]]+\]\(([^()#]+\.webp)#only-(\w+)\)")
MOST_BYTES = 3_500_000


def shown_in(guide: Path) -> list[tuple[str, str]]:
    """Pictures of the guide, and the theme of the site in which each is shown."""
    return SHOWN.findall(guide.read_text("utf-8"))


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_every_page_of_the_router_is_shown_in_both_themes(guide: Path):
    wanted = {(f"console/{name}.{it}.webp", it) for name in page_names() for it in THEMES}

    assert len(page_names()) > len(THEMES)
    assert sorted(wanted - set(shown_in(guide))) == []


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_every_picture_is_shown_and_in_its_own_theme(guide: Path):
    files = {f"console/{file.name}" for file in guide.with_suffix("").iterdir()}
    shown = shown_in(guide)

    assert sorted(files ^ {path for path, _ in shown}) == []
    assert [path for path, theme in shown if f".{theme}." not in path] == []


def test_all_pictures_together_are_small():
    folders = [guide.with_suffix("") for guide in GUIDES.values()]
    assert sum(file.stat().st_size for it in folders for file in it.iterdir()) <= MOST_BYTES
