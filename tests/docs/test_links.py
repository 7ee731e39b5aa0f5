"""Every relative link of a document leads to a file, and to a heading where it names one."""

from pathlib import Path

import pytest

from deploy.site.pages import pages_of_tree
from tests.docs.blocks import ROOT
from tests.docs.links import anchors_of, is_broken, links_of

DOCUMENTS = [ROOT / it for it in pages_of_tree() if it.endswith(".md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda it: it.relative_to(ROOT).as_posix())
def test_no_link_of_a_document_is_broken(document: Path):
    assert [link for link in links_of(document) if is_broken(link, document)] == []


def test_a_link_to_no_file_or_to_no_heading_is_broken(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# A `title`, with: 中文\n\n```sh\n# comment\n```\n[x](other.md) [y](#a-b)\n")

    assert anchors_of(page) == {"a-title-with-中文"}
    assert [link for link in links_of(page) if is_broken(link, page)] == ["other.md", "#a-b"]
