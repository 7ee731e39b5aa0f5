"""What each format's text is, block by block, with pages and headings."""

from pathlib import Path

import pytest
from documents_support.written import BODY, TITLE, docx_of, docx_with, pdf_of
from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.document_format import document_format_of
from modelmill_documents.parse_document import DocumentParser

pytestmark = pytest.mark.tier("test")


def blocks_of(folder: Path, name: str, content: bytes) -> list[DocumentBlock]:
    path = folder / name
    path.write_bytes(content)
    document_format = document_format_of(name)
    assert document_format is not None
    with DocumentParser() as parser:
        return parser.blocks(path, document_format)


def test_lines_of_a_pdf_become_paragraphs_with_their_pages_and_headings(tmp_path: Path) -> None:
    first = [(TITLE, "A title"), (BODY, ""), (BODY, "One line"), (BODY, "and its next.")]
    first += [(BODY, ""), (BODY, ""), (BODY, "Another paragraph.")]
    content = pdf_of([first, [(BODY, "On page two."), (BODY, ""), (BODY, ""), (BODY, "2")]])

    assert blocks_of(tmp_path, "a.pdf", content) == [
        ("A title", 1, 1),
        ("One line and its next.", 1, 0),
        ("Another paragraph.", 1, 0),
        ("On page two.", 2, 0),
    ]


def test_a_paragraph_that_goes_on_behind_a_page_is_one(tmp_path: Path) -> None:
    content = pdf_of([[(BODY, "It begins here"), (BODY, "and goes")], [(BODY, "on here.")]])
    assert blocks_of(tmp_path, "a.pdf", content) == [("It begins here and goes on here.", 1, 0)]


def test_headings_paragraphs_and_rows_of_a_word_document_are_read(tmp_path: Path) -> None:
    content = docx_of(("标题", 1), ("正文。", 0), ("Part", 2), rows=[["a", "b"], ["c", "d"]])
    assert blocks_of(tmp_path, "a.docx", content) == [
        ("标题", None, 1),
        ("正文。", None, 0),
        ("Part", None, 2),
        ("a\tb", None, 0),
        ("c\td", None, 0),
    ]


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
EDITED = f"""<w:document xmlns:w="{WORD}"><w:body><w:p>
<w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>
<w:ins><w:r><w:t>added</w:t></w:r></w:ins></w:p>
<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent>
</w:pict></w:r></w:p></w:body></w:document>"""


def test_added_text_controls_and_boxes_of_word_are_read_and_deleted_text_is_not(
    tmp_path: Path,
) -> None:
    content = docx_with("word/document.xml", EDITED.encode())
    texts = [block.text for block in blocks_of(tmp_path, "a.docx", content)]
    assert texts == ["kept added", "in a control", "in a box"]


PAGE = """<html><head><title>no</title><script>no()</script></head><body><!-- no --><h1>Top</h1>
<p>One <b>bold</b>
word.<br>Next</p><script>document.write("no")</script><div hidden>no</div><p style="display:none">no
<ul><li>first<li>second</ul><table><tr><td>a<td>b</table><pre>x
  y</pre><noscript>no</noscript>end</body></html>"""


def test_a_page_is_what_is_seen_of_it_without_scripts(tmp_path: Path) -> None:
    found = blocks_of(tmp_path, "a.html", PAGE.encode())
    assert [(block.text, block.level) for block in found] == [
        ("Top", 1),
        ("One bold word.\nNext", 0),
        ("first", 0),
        ("second", 0),
        ("a\tb", 0),
        ("x\n  y", 0),
        ("end", 0),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_page_is_read_in_the_encoding_that_it_declares(tmp_path: Path, encoding: str) -> None:
    page = f'<meta charset="{encoding}"><p>酒店的早餐很好，房间也很干净。</p>'
    (block,) = blocks_of(tmp_path, "a.htm", page.encode(encoding))
    assert block.text == "酒店的早餐很好，房间也很干净。"


MARKDOWN = """---
title: no
---
# Top

A *line* with `code`
and [a link](https://example.com).

## Part

- item

| a | b |
|---|---|
| c | d |

```python
x = 1
```

<script>no()</script>
"""


def test_markdown_is_read_without_its_marks(tmp_path: Path) -> None:
    found = blocks_of(tmp_path, "a.md", MARKDOWN.encode())
    assert [(block.text, block.level) for block in found] == [
        ("Top", 1),
        ("A line with code\nand a link.", 0),
        ("Part", 2),
        ("item", 0),
        ("a\tb", 0),
        ("c\td", 0),
        ("x = 1", 0),
    ]
