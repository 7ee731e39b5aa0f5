"""The site does not build with what asks another host, runs within a page, or leads nowhere."""

from pathlib import Path

import pytest

from deploy.site.hooks import faults_of, without_inline_scripts

SOUND = '<h1 id="top">x</h1><a href="#top">x</a><a href="b/c.html#d">x</a><img src="x.svg">'


def site(folder: Path, page: str, style: str = "a {}") -> Path:
    """A site of three files, with this as its first page."""
    (folder / "b").mkdir()
    (folder / "index.html").write_text(page)
    (folder / "b" / "c.html").write_text('<p id="d">x</p><a href="../index.html">x</a>')
    (folder / "x.css").write_text(style)
    return folder


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "fetches https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "fetches //fonts.example/x.css"),
        ('<img src="http://img.example/x.png">', "fetches http://img.example/x.png"),
        ("<p style='color: red'>x</p>", "has `style` within"),
        ("<style>a {}</style>", "has `style` within"),
        ("<p onclick='x()'>x</p>", "has `onclick` within"),
        ('<a href="missing.html">x</a>', "dead link missing.html"),
        ('<a href="b/c.html#e">x</a>', "dead link b/c.html#e"),
        ('<a href="#bottom">x</a>', "dead link #bottom"),
    ],
)
def test_a_fault_of_a_page_is_named(tmp_path: Path, page: str, fault: str):
    assert faults_of(site(tmp_path, SOUND + page)) == [f"index.html: {fault}"]


@pytest.mark.parametrize("style", ["@import 'https://x/y.css';", "a {b: url(//x/y.woff2)}"])
def test_a_style_that_fetches_from_elsewhere_is_a_fault(tmp_path: Path, style: str):
    assert faults_of(site(tmp_path, SOUND, style)) == ["x.css: fetches from elsewhere"]


def test_a_sound_site_has_no_fault(tmp_path: Path):
    assert faults_of(site(tmp_path, SOUND, "a {b: url(data:x)}")) == []


def test_scripts_of_a_page_become_files(tmp_path: Path):
    folder = site(tmp_path, SOUND)
    page = folder / "b" / "e.html"
    page.write_text("<script>run()</script><script type='application/json'>{}</script>")

    text = without_inline_scripts(page, folder)
    [script] = (folder / "assets" / "inline").iterdir()
    assert script.read_text() == "run()"
    assert text.startswith(f'<script src="../assets/inline/{script.name}"></script><script type')
