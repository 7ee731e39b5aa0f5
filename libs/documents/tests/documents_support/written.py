"""Small documents of each format, written by hand or by the libraries that read them."""

import io
import zipfile
from collections.abc import Sequence

import docx

TITLE, BODY = 20.0, 10.0


def pdf_of(pages: Sequence[Sequence[tuple[float, str]]], *, trailer: str = "") -> bytes:
    """A PDF with lines of Latin text on each page, each with its font size, 14 points apart; an
    empty text leaves a gap."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = []
    objects.append(font)
    for lines in pages:
        drawn, foot = "", 800.0
        for size, text in lines:
            foot -= max(14.0, 1.2 * size)
            if text:
                drawn += f"BT /F1 {size} Tf 50 {foot} Td ({text}) Tj ET\n"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}endstream")
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 842] /Resources << /Font << /F1 3 0 R"
            f" >> >> /Contents {len(objects)} 0 R >>"
        )
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    return _file_of(objects, trailer)


def _file_of(objects: Sequence[str], trailer: str) -> bytes:
    content = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{len(content)}\n%%EOF\n"
    )
    return content + end.encode()


def encrypted_pdf() -> bytes:
    """A PDF whose password nobody knows."""
    key = "<" + "41" * 32 + ">"
    return pdf_of(
        [[(BODY, "secret")]],
        trailer=(
            f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >>"
            f" /ID [<{'42' * 16}> <{'42' * 16}>]"
        ),
    )


def docx_of(*paragraphs: tuple[str, int], rows: Sequence[Sequence[str]] = ()) -> bytes:
    """A Word document of (text, level of the heading) and a table."""
    document = docx.Document()
    for text, level in paragraphs:
        if level:
            document.add_heading(text, level)
        else:
            document.add_paragraph(text)
    if rows:
        table = document.add_table(len(rows), len(rows[0]))
        for cells, texts in zip(table.rows, rows, strict=True):
            for cell, text in zip(cells.cells, texts, strict=True):
                cell.text = text
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def docx_with(part: str, text: bytes) -> bytes:
    """A Word document, one of whose parts is something else."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx_of(("text", 0)))) as before,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            after.writestr(name, text if name == part else before.read(name))
    return content.getvalue()
