"""Excel workbooks: rows of a sheet, bounded, or a clear refusal."""

import io
import tracemalloc
import zipfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, time
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.reading import xlsx_blocks
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.inspect_file import inspect_file
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import check_opening, read_blocks
from modelmill_data_prep.inspector_child import first_rows
from modelmill_service_kit.errors import InvalidInputError

SHEET = "xl/worksheets/sheet1.xml"
TEXTS = "xl/sharedStrings.xml"
WANTED = FileForm("", "", "", "")

CELL_BYTES, MOST_BYTES_A_ROW = 2_000, 400
"""What a row holds, and what may stay of it: far apart, since garbage is collected at any time."""


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    """The workbook with another part in place of one of its own."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, part if entry == name else old.read(entry))
    return written.getvalue()


def sheet_of(rows: bytes) -> bytes:
    space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return b'<worksheet xmlns="%b"><sheetData>%b</sheetData></worksheet>' % (space, rows)


def read(path: Path, content: bytes, sheet: str = "", **limits: int) -> list[tuple[int, Any]]:
    """Each row as (line, its columns) or (line, the reason)."""
    path.write_bytes(content)
    bounds = ReadLimits(**limits)
    form = inspect_file(path, "xlsx", FileForm("", "", "", sheet), bounds)
    return [
        (row.line, dict(row.columns) if isinstance(row, SourceRow) else row.reason)
        for block in read_blocks(path, "xlsx", bounds, form)
        for row in parse_block(block)
    ]


def test_rows_below_the_header_become_json_by_the_number_of_their_row(tmp_path: Path) -> None:
    when = datetime(2025, 1, 2, 3, 4, 5)
    content = workbook(
        Rows=[
            [None, None],
            [" q ", "n", "when", "day", "at"],
            ["如何重置密码", 1, when, date(2025, 1, 2), time(3, 4)],
            [],
            ["half", 0.5],
            [True, None, None, None, None],
            ["more", 1, 2, 3, 4, 5],
        ],
        Other=[["a"], ["b"]],
    )

    rows = read(tmp_path / "file", content)

    nothing = {"when": None, "day": None, "at": None}
    assert rows == [
        (
            3,
            {
                "q": "如何重置密码",
                "n": 1,
                "when": "2025-01-02T03:04:05",
                "day": "2025-01-02T00:00:00",
                "at": "03:04:00",
            },
        ),
        (5, {"q": "half", "n": 0.5, **nothing}),
        (6, {"q": True, "n": None, **nothing}),
        (7, "more fields than the header"),
    ]


def test_a_sheet_is_chosen_by_its_name_and_is_the_first_without_one(tmp_path: Path) -> None:
    content = workbook(First=[["a"], ["1st"]], Zweites=[["a"], ["2nd"]])

    assert read(tmp_path / "file", content, "Zweites") == [(2, {"a": "2nd"})]
    assert inspect_file(tmp_path / "file", "xlsx", WANTED, ReadLimits()).sheet == "First"
    with pytest.raises(InvalidInputError, match="no sheet 'third', but 'First', 'Zweites'"):
        read(tmp_path / "file", content, "third")


def test_a_formula_is_the_value_that_it_had_when_it_was_saved(tmp_path: Path) -> None:
    cells = (
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>sum</t></is></c></row>'
        b'<row r="2"><c r="A2"><f>1+2</f><v>3</v></c></row>'
        b'<row r="3"><c r="A3"><f>1+2</f></c></row>'
    )
    content = with_part(workbook(Rows=[["sum"]]), SHEET, sheet_of(cells))

    assert read(tmp_path / "file", content) == [(2, {"sum": 3})]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "no header"),
        ([["a", None, "b"]], "column 2 of the sheet's header has no name"),
        ([["a", "a"]], "names column 'a' twice"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(
    tmp_path: Path, rows: list[list[Any]], complaint: str
) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        read(tmp_path / "file", workbook(Rows=rows))


def test_what_is_no_workbook_is_refused_at_its_upload(tmp_path: Path) -> None:
    path = tmp_path / "file"
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for content in (b"", b"PK\x03\x04", b"a,b\n", empty.getvalue(), workbook(A=[["a"]])[:-30]):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match="no Excel workbook"):
            check_opening(path, "xlsx")
    path.write_bytes(workbook(A=[["a"]]))
    check_opening(path, "xlsx")


def test_what_unpacks_beyond_reason_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    plain = workbook(Rows=[["a"], ["b"]])
    path = tmp_path / "file"
    path.write_bytes(with_part(plain, SHEET, sheet_of(b" " * 64 * 1024**2)))
    assert path.stat().st_size < 200_000

    with pytest.raises(InvalidInputError, match="expands to more than 250 times"):
        check_opening(path, "xlsx")
    path.write_bytes(plain)
    with pytest.raises(
        InvalidInputError, match=r"holds more than 1000 bytes\. Save the sheet as CSV"
    ):
        read(path, plain, max_content_bytes=1000)


@pytest.mark.parametrize(
    "rows",
    [
        b'<row r="1"><c r="A1"><v>1</v></c></row><row r="99999999999"><c><v>1</v></c></row>',
        b'<row><c r="XFD1"><v>1</v></c></row>' * 5_000,
    ],
)
def test_a_sheet_that_says_it_is_endless_is_refused(
    tmp_path: Path, rows: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_blocks, "MAX_CELLS", 1_000_000)
    monkeypatch.setattr(xlsx_blocks, "MAX_ROWS", 100_000)
    content = with_part(workbook(Rows=[["a"]]), SHEET, sheet_of(rows))

    with pytest.raises(InvalidInputError, match=r"more than 100000 rows or 1000000 cells|no name"):
        read(tmp_path / "file", content)


@pytest.mark.tier("test")  # it takes seconds of processor time
def test_of_a_row_that_was_read_little_stays_whatever_it_held(tmp_path: Path) -> None:
    """The reader keeps the empty element of each row; a sheet has a million at most."""

    def peak_of(rows: int) -> int:
        path = tmp_path / f"{rows}"
        cells = b"".join(
            b'<row><c t="inlineStr"><is><t>row %d %b</t></is></c></row>' % (n, b"x" * CELL_BYTES)
            for n in range(rows)
        )
        path.write_bytes(with_part(workbook(Rows=[["a"]]), SHEET, sheet_of(cells)))
        form = inspect_file(path, "xlsx", WANTED, ReadLimits())
        tracemalloc.start()
        try:
            found = sum(b.rows.num_rows for b in read_blocks(path, "xlsx", ReadLimits(), form))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found == rows - 1
        return peak

    peak_of(10)  # what is imported when it is first read stays
    few, many = 4_000, 14_000

    assert peak_of(many) - peak_of(few) < (many - few) * MOST_BYTES_A_ROW


def test_a_row_of_empty_cells_that_is_more_than_memory_is_refused(tmp_path: Path) -> None:
    row = b"<row>" + b"<c/>" * 400_000 + b"</row>"
    content = with_part(workbook(Rows=[["a"], ["b"]]), SHEET, sheet_of(row))

    path = tmp_path / "file"
    path.write_bytes(content)

    # A process of its own: in this one, tests before may have left memory free, which is no growth.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        rows = fresh.submit(first_rows, path, "xlsx", WANTED, ReadLimits(memory_bytes=32 << 20))
        with pytest.raises(InvalidInputError, match="of memory at a time"):
            rows.result()


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
    st.integers(-(10**9), 10**9),
    st.booleans(),
).filter(lambda value: not (isinstance(value, str) and value.startswith("=")))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=20), st.integers(1, 7))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]], block_rows: int
) -> None:
    content = workbook(Rows=[["a", "b"], *map(list, rows)])

    found = read(tmp_path_factory.mktemp("book") / "file", content, block_rows=block_rows)

    assert [columns for _, columns in found] == [{"a": a, "b": b} for a, b in rows]


@pytest.mark.parametrize("seed", range(60))
def test_a_broken_workbook_is_refused_and_nothing_else_is_raised(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    content = workbook(Rows=[["a", "b"], *([f"x{n}", n] for n in range(30))])
    if seed % 2:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = chance.choice(archive.namelist())
            part = bytearray(archive.read(name))
        for _ in range(8):
            part[chance.randrange(len(part))] = chance.randrange(256)
        content = with_part(content, name, bytes(part))
    else:
        broken = bytearray(content)
        for _ in range(8):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        content = bytes(broken)

    try:
        rows = read(tmp_path / "file", content)
    except InvalidInputError:
        return
    assert [line for line, _ in rows] == sorted({line for line, _ in rows})
