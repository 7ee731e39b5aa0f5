"""Writes documents that `tests.bench.documents` describes; runs where reportlab is installed.

    python documents_made.py DESCRIPTIONS FOLDER

Descriptions are JSON lines: name, format, language, blocks (kind and text, or rows of a table), and
for a PDF font (a TrueType file, or empty for fonts that readers know) and columns. It imports
nothing of the clone.
"""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

Described = dict[str, Any]


def write(described: Described, folder: Path) -> None:
    """Write one document."""
    path = folder / described["name"]
    if described["format"] == "pdf":
        _write_pdf(described, path)
    elif described["format"] == "docx":
        _write_docx(described, path)
    elif described["format"] == "html":
        path.write_text(_html(described), encoding=described["encoding"])
    else:
        path.write_text(_markdown(described), encoding="utf-8")


def _write_pdf(described: Described, path: Path) -> None:
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    font = _pdf_font(described)
    width, height = A4
    count = described["columns"]
    wide = (width - 100 - 20 * (count - 1)) / count
    frames = [Frame(50 + n * (wide + 20), 50, wide, height - 100) for n in range(count)]

    def numbered(canvas: Any, document: Any) -> None:
        canvas.setFont(font, 8)
        canvas.drawCentredString(width / 2, 30, str(document.page))

    pdf = BaseDocTemplate(str(path), pagesize=A4, invariant=1)
    pdf.addPageTemplates([PageTemplate(frames=frames, onPage=numbered)])
    pdf.build(_story(described, font))


def _story(described: Described, font: str) -> list[Any]:
    from reportlab.lib.enums import TA_JUSTIFY
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph, Table

    body = ParagraphStyle(
        "body",
        fontName=font,
        fontSize=10.5,
        leading=15,
        spaceAfter=8,
        alignment=TA_JUSTIFY if described["columns"] == 1 else 0,
        wordWrap="CJK" if described["language"] == "zh" else None,
    )
    styles = {
        "title": ParagraphStyle("title", parent=body, fontSize=20, leading=26, spaceAfter=14),
        "heading": ParagraphStyle("heading", parent=body, fontSize=14, leading=19, spaceBefore=8),
    }
    story = []
    for block in described["blocks"]:
        if block["kind"] == "table":
            cells = [[Paragraph(escape(cell), body) for cell in row] for row in block["rows"]]
            story.append(Table(cells))
        else:
            text = ("• " if block["kind"] == "item" else "") + escape(block["text"])
            story.append(Paragraph(text, styles.get(block["kind"], body)))
    return story


def _pdf_font(described: Described) -> str:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    if described["font"]:
        pdfmetrics.registerFont(TTFont("given", described["font"], subfontIndex=0))
        return "given"
    if described["language"] == "zh":
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
        return "STSong-Light"
    return "Times-Roman"


def _write_docx(described: Described, path: Path) -> None:
    import docx

    document = docx.Document()
    for block in described["blocks"]:
        if block["kind"] == "title":
            document.add_heading(block["text"], 0)
        elif block["kind"] == "heading":
            document.add_heading(block["text"], 1)
        elif block["kind"] == "item":
            document.add_paragraph(block["text"], style="List Bullet")
        elif block["kind"] == "table":
            table = document.add_table(len(block["rows"]), len(block["rows"][0]))
            for row, cells in zip(table.rows, block["rows"], strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
        else:
            _add_runs(document.add_paragraph(), block["text"])
    document.save(str(path))


def _add_runs(paragraph: Any, text: str) -> None:
    """As Word keeps a paragraph that was edited: in runs."""
    for start in range(0, len(text), 23):
        paragraph.add_run(text[start : start + 23])


def _html(described: Described) -> str:
    tags = {"title": "h1", "heading": "h2", "item": "li", "paragraph": "p"}
    parts = []
    for block in described["blocks"]:
        if block["kind"] == "table":
            rows = (
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
                for row in block["rows"]
            )
            parts.append(f"<table>{''.join(rows)}</table>")
        else:
            tag = tags[block["kind"]]
            parts.append(f"<{tag}>{escape(block['text'])}</{tag}>")
    return (
        f'<!DOCTYPE html><html><head><meta charset="{described["encoding"]}"><title>page</title>'
        "<style>p {color: red}</style><script>var unseen = 'not text';</script></head><body>"
        f"<div><div>{''.join(parts)}</div></div><script>alert('not text')</script></body></html>"
    )


def _markdown(described: Described) -> str:
    marks = {"title": "# ", "heading": "## ", "item": "- ", "paragraph": ""}
    parts = []
    for block in described["blocks"]:
        if block["kind"] == "table":
            head, *rows = (f"| {' | '.join(row)} |" for row in block["rows"])
            parts.append("\n".join([head, "|" + " --- |" * len(block["rows"][0]), *rows]))
        else:
            parts.append(marks[block["kind"]] + block["text"])
    return "---\ntitle: unseen\n---\n\n" + "\n\n".join(parts) + "\n"


def main() -> None:
    """Write every document that is described."""
    folder = Path(sys.argv[2])
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        write(json.loads(line), folder)


if __name__ == "__main__":
    main()
