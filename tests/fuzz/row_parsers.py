"""Rows in every layout, calls of tools and templates, as they come out of JSON lines."""

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from modelmill_data_prep.domain.blocks import RejectedRow, SourceRow
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import RowMapping, plan_mapping
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileFormat
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import read_blocks
from modelmill_data_prep.domain.stages import StageResult
from modelmill_data_prep.domain.written_rows import write_rows

from tests.fuzz.sound_rows import TEMPLATED, TEMPLATES
from tests.fuzz.tally import FuzzError
from tests.fuzz.values import broken_value

MOST_ROWS = 5
JSONL: FileFormat = "jsonl"
AGAIN = plan_mapping({"layout": "openai_chat"})

Row = SourceRow | RejectedRow


class LayoutParser:
    """Maps JSON lines of broken rows of one layout, and each mapping of these columns beside it.

    Promised: every row is mapped or quarantined, whichever rows stand beside it; what is mapped
    ends with the assistant's turn and answers only calls that were made; a conversation, as it is
    written, is read again as the same conversation.
    """

    def __init__(self, sound: Sequence[Mapping[str, Any]], *mappings: Mapping[str, str]) -> None:
        self._sound = sound
        self._mappings = [plan_mapping(mapping) for mapping in mappings]

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        rows = random.choices(self._sound, k=random.randint(1, MOST_ROWS))
        return b"\n".join(json.dumps(broken_value(random, row)).encode() for row in rows)

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        rows = read_rows(path)
        return sum(check_mapped(rows, mapping) for mapping in self._mappings)


class TemplateParser:
    """Parses broken templates and maps rows by them.

    Promised: a template is refused or has the literals and columns that a reader from left to right
    finds; a row's turns are its templates with the values put in, as they are.
    """

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        mapping = dict(random.choice(TEMPLATES))
        for field in random.choices(list(mapping), k=random.randint(0, 2)):
            mapping[field] = _broken_template(random, mapping[field])
        rows = [broken_value(random, row) for row in random.choices(TEMPLATED, k=MOST_ROWS)]
        return b"\n".join(json.dumps(one).encode() for one in (mapping, *rows))

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        first, _, rest = path.read_bytes().partition(b"\n")
        given: dict[str, str] = json.loads(first)
        mapping = plan_mapping(given)
        for field, text in given.items():
            if field.endswith("_template") and text and _read_slowly(text) is None:
                raise FuzzError(f"{field} is no template and was not refused")
        with TemporaryDirectory() as folder:
            (Path(folder) / "rows").write_bytes(rest)
            rows = read_rows(Path(folder) / "rows")
        count = check_mapped(rows, mapping)
        _check_filled(rows, mapping, given)
        return count


def read_rows(path: Path) -> list[Row]:
    """The rows of JSON lines."""
    return [row for block in read_blocks(path, JSONL, ReadLimits()) for row in parse_block(block)]


def check_mapped(rows: Sequence[Row], mapping: RowMapping) -> int:
    """Map the rows and hold what comes out against what is promised; how many were mapped."""
    passed = map_block(rows, mapping)
    passed.rows.validate(full=True)
    passed.dropped.validate(full=True)
    lines = sorted(passed.rows["line"].to_pylist() + passed.dropped["line"].to_pylist())
    if lines != [row.line for row in rows]:
        raise FuzzError("a row is neither mapped nor quarantined, or both")
    apart = [map_block(some, mapping) for some in (rows[::2], rows[1::2])]
    for name, together in (("rows", passed.rows), ("dropped", passed.dropped)):
        found = [row for one in apart for row in getattr(one, name).to_pylist()]
        if together.to_pylist() != sorted(found, key=itemgetter("line")):
            raise FuzzError("a row becomes something else beside others")
    for row in passed.rows.to_pylist():
        _check_conversation(row)
    if mapping.layout != "text":
        _check_written(passed.rows)
    return passed.rows.num_rows


def _check_conversation(row: Mapping[str, Any]) -> None:
    roles, extras = row["roles"], row["extras"]
    if roles[-1] != "assistant" or "system" in roles[1:]:
        raise FuzzError(f"turns of {roles}")
    open_calls: set[str] = set()
    for role, text, written in zip(roles, row["contents"], extras, strict=True):
        extra = json.loads(written) if written is not None else {}
        if role == "tool":
            if extra["tool_call_id"] not in open_calls:
                raise FuzzError("an answer to no call")
            open_calls.remove(extra["tool_call_id"])
        elif open_calls:
            raise FuzzError("a call without an answer")
        open_calls |= {call["id"] for call in extra.get("tool_calls", ())}
        if not text and "tool_calls" not in extra:
            raise FuzzError("an empty turn")


def _check_written(rows: pa.RecordBatch) -> None:
    """Conversations as they are written, read again."""
    written = [json.loads(line) for line in write_rows(rows).lines]
    again = map_block([SourceRow(row["row"], row, line) for row, line in _sources(written)], AGAIN)
    # A worse answer has no place in a conversation.
    columns = ("line", "roles", "contents", "extras", "tools")
    if again.rows.select(columns).to_pylist() != rows.select(columns).to_pylist():
        raise FuzzError(f"another conversation when read again: {_reasons(again)}")


def _sources(written: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], bytes]]:
    return [(row, json.dumps(row).encode()) for row in written]


def _reasons(passed: StageResult) -> str:
    return "; ".join(passed.dropped["rule"].to_pylist()) or "other values"


def _broken_template(random: Random, text: str) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        piece = random.choice(
            ("{", "}", "{{", "}}", "{}", "{q}", "{ q}", "%", "%s", "\0", "\n", "好")
        )
        text = text[:at] + (piece + text[at:] if random.random() < 0.7 else text[at + 1 :])
    return text


def _read_slowly(text: str) -> list[tuple[bool, str]] | None:
    """Literals (False) and columns (True) from left to right; None when it is no template."""
    parts: list[tuple[bool, str]] = []
    place = 0
    while place < len(text):
        if text.startswith(("{{", "}}"), place):
            parts.append((False, text[place]))
            place += 2
        elif text[place] == "}":
            return None
        elif text[place] == "{":
            end = place + 1
            while end < len(text) and text[end] not in "{}":
                end += 1
            if end == len(text) or text[end] == "{" or end == place + 1:
                return None
            parts.append((True, text[place + 1 : end]))
            place = end + 1
        else:
            parts.append((False, text[place]))
            place += 1
    return parts


def _check_filled(rows: Sequence[Row], mapping: RowMapping, given: Mapping[str, str]) -> None:
    by_line = {row.line: row.columns for row in rows if isinstance(row, SourceRow)}
    fields = [f for f in ("system", "user", "answer") if given.get(f"{f}_template")]
    for row in map_block(rows, mapping).rows.to_pylist():
        columns = by_line[row["line"]]
        for field, text in zip(fields, row["contents"], strict=True):
            parts = _read_slowly(given[f"{field}_template"]) or []
            expected = "".join(
                str(columns[part]) if is_column else part for is_column, part in parts
            )
            if text != expected:
                raise FuzzError(f"{field} is filled with something else")
