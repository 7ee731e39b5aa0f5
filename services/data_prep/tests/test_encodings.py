"""Files in any of our encodings and delimiters: found out, read back, and nothing lost."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.blocks import RejectedRow, SourceRow
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import plan_mapping
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    AS_DETECTED,
    CODECS,
    DELIMITERS,
    FileForm,
    FileFormat,
    plan_reading,
)
from modelmill_data_prep.domain.reading.inspect_file import inspect_file
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import check_opening, read_blocks
from modelmill_data_prep.domain.reading.text_encoding import Utf16Text, in_utf16
from modelmill_service_kit.errors import InvalidInputError

WORDS = {
    "utf-8": ["naïve café", "模型在训练时", "保険の契約", "Größe"],
    "utf-16-le": ["naïve café", "模型在训练时", "保険の契約", "😀 emoji"],
    "utf-16-be": ["naïve café", "模型在训练时", "保険の契約", "😀 emoji"],
    "gb18030": ["如何重置密码", "保险合同的犹豫期为十五天", "今天天气很好", "请联系客户服务"],
    "big5": ["如何重置密碼", "保險合約的猶豫期為十五天", "今天天氣很好", "請聯絡客戶服務"],
    "shift_jis": ["パスワードを変更できます", "保険の契約について", "今日はとても良い天気です"],
    "windows-1252": ["L'été dernier à Genève", "Größe und Straße", "mañana señor", "“quoted”"],
}
"""Texts as people write them in each encoding."""
MARKS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
NO_TEXT = {"utf-8": b"\xff", "gb18030": b"\xff", "big5": b"\xff", "shift_jis": b"\x81"}
NO_TEXT |= {"utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00", "windows-1252": b"\x81"}
"""Bytes that are no text there: half a surrogate pair in UTF-16."""

Row = SourceRow | RejectedRow


def rows_of(
    content: bytes, file_format: FileFormat, requested: FileForm = AS_DETECTED, **limits: int
) -> tuple[FileForm, list[Row]]:
    """How a file with this content is read, and its rows."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        bounds = ReadLimits(**limits)
        form = inspect_file(path, file_format, requested, bounds)
        blocks = read_blocks(path, file_format, bounds, form)
        return form, [row for block in blocks for row in parse_block(block)]


def read(rows: Sequence[Row]) -> list[Any]:
    return [dict(row.columns) if isinstance(row, SourceRow) else row.reason for row in rows]


def records(encoding: str, delimiter: str, count: int = 8) -> list[dict[str, str]]:
    words = WORDS[encoding]
    return [
        {
            "question": f"{words[n % len(words)]}{delimiter}{n}",
            "answer": words[(n + 1) % len(words)],
        }
        for n in range(count)
    ]


def as_csv(rows: Sequence[dict[str, str]], delimiter: str, line_end: str = "\r\n") -> str:
    written = io.StringIO()
    table = csv.DictWriter(written, list(rows[0]), delimiter=delimiter, lineterminator=line_end)
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("encoding", WORDS)
def test_encoding_and_delimiter_of_a_csv_file_are_found(encoding: str, delimiter: str) -> None:
    rows = records(encoding, delimiter)
    content = as_csv(rows, delimiter).encode(CODECS[encoding])

    for mark in {b"", MARKS.get(encoding, b"")}:
        form, found = rows_of(mark + content, "csv")

        assert (form.encoding, form.delimiter) == (encoding, delimiter)
        assert read(found) == rows


@pytest.mark.parametrize("encoding", WORDS)
def test_encodings_of_jsonl_and_text_files_are_found_also_compressed(encoding: str) -> None:
    rows = records(encoding, "")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    jsonl, text = (
        lines.encode(CODECS[encoding]),
        "\n".join(WORDS[encoding]).encode(CODECS[encoding]),
    )

    for content, file_format in ((jsonl, "jsonl"), (gzip.compress(jsonl), "jsonl.gz")):
        form, found = rows_of(content, file_format)  # type: ignore[arg-type]
        assert (form.encoding, read(found)) == (encoding, rows)
    form, found = rows_of(text, "text", FileForm("", "", "line"))
    assert (form.encoding, read(found)) == (encoding, [{"text": one} for one in WORDS[encoding]])
    form, found = rows_of(text, "text")
    assert (form.text_unit, len(found)) == ("paragraph", 1)


FIELD = st.text(st.sampled_from("ab ,;|\t\"'é“\n好测試カ密、"), max_size=8)


@settings(deadline=None)
@given(
    st.lists(st.lists(FIELD, min_size=2, max_size=2), min_size=1, max_size=8),
    st.sampled_from(list(CODECS)),
    st.sampled_from(DELIMITERS),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(2, 40),
)
def test_what_is_written_is_read_back_and_told_by_its_own_bytes(
    fields: list[list[str]], encoding: str, delimiter: str, line_end: str, chunk: int
) -> None:
    codec = CODECS[encoding]
    encodable = [[one.encode(codec, "ignore").decode(codec) for one in pair] for pair in fields]
    rows = [dict(zip(("h1", "h2"), pair, strict=True)) for pair in encodable]
    content = as_csv(rows, delimiter, line_end).encode(codec)

    requested = FileForm(encoding, delimiter, "")
    form, found = rows_of(content, "csv", requested, chunk_bytes=chunk)

    assert form == FileForm(encoding, delimiter, "paragraph")
    assert read(found) == rows
    for row in found:
        assert isinstance(row, SourceRow)
        assert row.raw in content
        (again,) = csv.reader([row.raw.decode(codec)], delimiter=delimiter)
        assert again == list(row.columns.values())


@pytest.mark.parametrize("encoding", WORDS)
def test_bytes_that_are_no_text_cost_their_row_alone(encoding: str) -> None:
    codec = CODECS[encoding]
    lines = [json.dumps({"n": n, "text": WORDS[encoding][0]}, ensure_ascii=False) for n in range(9)]
    encoded = [line.encode(codec) for line in lines]
    broken = '{"n": "'.encode(codec) + NO_TEXT[encoding] + '"}'.encode(codec)
    encoded[4] = broken
    content = "\n".encode(codec).join(encoded)

    form, found = rows_of(content, "jsonl")

    assert form.encoding == encoding
    assert [row.line for row in found] == list(range(1, 10))
    reason = "not UTF-8" if encoding == "utf-8" else f"not {encoding}"
    [refused] = [row for row in found if isinstance(row, RejectedRow)]
    at = len('{"n": "'.encode(codec))
    assert refused.reason == f"{reason}, from byte offset {at} of the row"
    assert found[4].source == sha256(broken).digest()  # type: ignore[union-attr]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.binary(max_size=12), max_size=12),
    st.sampled_from(list(CODECS)),
    st.sampled_from(["jsonl", "csv", "text"]),
    st.integers(1, 30),
)
@example([b'"', b'",'], "utf-8", "csv", 1)
def test_no_line_of_any_bytes_is_lost(
    pieces: list[bytes], encoding: str, file_format: FileFormat, chunk: int
) -> None:
    feed = "\n".encode(CODECS[encoding])
    head = "h\n".encode(CODECS[encoding])
    if len(feed) == 2:
        pieces = [piece[: len(piece) // 2 * 2] for piece in pieces]
    content = head + feed.join(pieces)
    form = FileForm(encoding, ",", "line")
    try:
        _, found = rows_of(content, file_format, form, chunk_bytes=chunk)
    except InvalidInputError:
        return  # Of another kind by its first bytes.

    seen = set()
    for row in found:
        # A cell in quotes may hold ends of lines, also in a row that is refused.
        taken = row.raw.count(feed) if isinstance(row, SourceRow) else row.raw.count("\n")
        seen |= set(range(row.line, row.line + taken + 1))
    text = content.decode(CODECS[encoding], "replace") if len(feed) == 2 else ""
    lines = text.split("\n") if text else content.split(b"\n")  # type: ignore[assignment]
    first = 1 if file_format == "csv" else 0
    filled = {n for n, line in enumerate(lines, start=1) if n > first and line.strip()}
    assert filled <= seen


def test_what_utf16_ends_with_too_much_is_a_row_error() -> None:
    content = '{"n": 1}\n'.encode("utf-16-le") + b"\n"

    _, found = rows_of(content, "jsonl", FileForm("utf-16-le", "", ""))

    assert read(found) == [{"n": 1}, "not utf-16-le, from byte offset 0 of the row"]
    assert found[1].source == sha256(b"\n").digest()  # type: ignore[union-attr]


def test_some_broken_rows_make_no_file_of_another_encoding() -> None:
    lines = [b'{"text": "\xe5\xa5\xbd \xe4\xb8\xad"}'] * 5 + [b'{"text": "\xff"}'] * 3

    form, found = rows_of(b"\n".join(lines), "jsonl")

    assert form.encoding == "utf-8"
    assert read(found)[5:] == ["not UTF-8, from byte offset 10 of the row"] * 3


def test_another_alphabet_far_into_a_file_is_found() -> None:
    rows = b'{"text": "plain"}\n' * 100_000 + '{"text": "如何重置密码"}\n'.encode("gb18030") * 3

    form, found = rows_of(rows, "jsonl")

    assert form.encoding == "gb18030"
    assert read(found)[-1] == {"text": "如何重置密码"}


def test_a_refused_row_is_shown_in_its_own_letters() -> None:
    content = '{"q": "如何重置密码", "b": "如何"}\n'.encode("gb18030") * 2
    _, found = rows_of(content, "jsonl")

    refused = map_block(found, plan_mapping({"user_template": "{q}", "answer_template": "{a}"}))

    assert "如何重置密码" in refused.dropped.column("sample")[0].as_py()


def test_a_delimiter_in_texts_is_not_taken_for_the_files() -> None:
    content = b"id;text\n1;a, b, c\n2;d, e\n3;f | g\n"

    form, found = rows_of(content, "csv")

    assert form.delimiter == ";"
    assert read(found)[0] == {"id": "1", "text": "a, b, c"}
    assert rows_of(b"text\na;b\n", "csv")[0].delimiter == ","


def test_a_desired_state_counts_more_than_what_the_file_shows() -> None:
    content = "a;b,c\né;1,2\n".encode("latin-1")

    _, found = rows_of(content, "csv", plan_reading({"encoding": "Latin1", "delimiter": ","}))

    assert read(found) == [{"a;b": "é;1", "c": "2"}]


def test_control_requests_that_cannot_be_are_all_named() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        plan_reading({"encoding": "ebcdic", "delimiter": "::", "text_unit": "page"})

    assert len(refusal.value.errors) == 3
    assert "'gb18030'" in refusal.value.errors[0]


@pytest.mark.parametrize("mark", [b"", b"\xff\xfe"])
def test_utf16_rows_pass_the_look_at_an_upload(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "content"
    path.write_bytes(mark + '{"q": "好"}\n'.encode("utf-16-le"))

    check_opening(path, "jsonl")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_text_that_is_cut_anywhere_loses_its_last_character_at_most(encoding: str) -> None:
    content = "好bits".encode(encoding) + b"6"
    text = Utf16Text(encoding, io.BytesIO(content).read)
    whole = b"".join(iter(lambda: text.read(4), b""))
    assert in_utf16(whole, encoding) == content
    for end in range(len(whole)):
        assert content.startswith(in_utf16(whole[:end], encoding))
