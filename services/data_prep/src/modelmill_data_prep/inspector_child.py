"""Child process of the file inspector: reads requests and writes answers as JSON lines.

Untrusted files are decoded here, so that a file that crashes a decoder or exhausts memory only
fails its own request. It also keeps decoding libraries out of the service process.
"""

import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from modelmill_documents.document_format import is_document_format
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.comparison_folder import ComparisonFolder
from modelmill_data_prep.domain.blocks import RejectedRow, SourceRow
from modelmill_data_prep.domain.dataset_plan import DatasetPlan, check_columns, plan_dataset
from modelmill_data_prep.domain.lineage.row_provenance import KeptRow, ProvenanceFile
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.propose_mapping import READ_ALONE, propose_mapping
from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.domain.reading.document_blocks import PASSAGE_COLUMNS
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    FileForm,
    FileFormat,
    form_of_rows,
    row_format_of,
)
from modelmill_data_prep.domain.reading.inspect_file import inspect_file
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import check_opening, read_blocks
from modelmill_data_prep.domain.stages import Stage
from modelmill_data_prep.domain.written_rows import write_rows
from modelmill_data_prep.pipeline.worker_parts import stages_of
from modelmill_data_prep.shown_rows import read_row, that_fit
from modelmill_data_prep.stored_comparison import DatasetFiles, stored_comparison


def line_provenance(folder: Path, line: int) -> list[dict[str, Any]]:
    """Provenance of a source line, as fields of `modelmill.data_prep.v1.RowProvenance`.

    Args:
        folder: The dataset's folder.
        line: From 1.
    """
    return [
        _provenance(folder, row) for row in ProvenanceFile(folder / PROVENANCE_FILE).of_line(line)
    ]


def compare_datasets(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a comparison of two datasets says of them, by `look`: the whole, counts with samples, or
    a page of rows."""
    files = (DatasetFiles(digest, Path(folder)) for digest, folder in request["datasets"])
    stored = ComparisonFolder(Path(request["stored"]))
    comparison = stored_comparison(stored, request["tenant"], *files)
    if request["look"] == "comparison":
        return comparison.whole()
    if request["look"] == "difference":
        return comparison.difference(request["samples"])
    return comparison.page(request["after"], request["limit"])


def _provenance(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "line": row["line"],
        "source_sha256": row["source"].hex(),
        "outcome": row["outcome"],
        "rule": row["rule"] or "",
        "detail": row["detail"] or "",
        "changes": row["changes"],
        "made_by": row["made_by"] or "",
    }
    if row["split"] is not None:
        written = KeptRow(row["split"], row["offset"], row["length"])
        shown |= {"split": row["split"], "position": row["position"]}
        shown["row_json"] = read_row(folder, written)
    return shown


PEEK_ROWS = 100
SHOWN_COLUMNS, SHOWN_NAME_CHARACTERS = 1_000, 200

StagesOf = Callable[[DatasetPlan, bytes], Sequence[tuple[str, Stage]]]
"""Creates the (name, stage) list of a plan, given the pseudonym key."""


def inspect(request: Mapping[str, Any], stages_of: StagesOf) -> Any:
    """Dispatch a request of the file inspector, by its action `look`.


    Raises:
        InvalidInputError: File or spec are invalid.
    """
    if request["look"] == "provenance":
        return line_provenance(Path(request["folder"]), request["line"])
    if request["look"] in ("comparison", "difference", "unshared"):
        return compare_datasets(request)
    path, file_format = Path(request["path"]), request["format"]
    if request["look"] == "opening":
        check_opening(path, file_format)
        return None
    spec = request["spec"]
    is_open = request["look"] == "preview" and "mapping" not in spec
    plan = plan_dataset(READ_ALONE | spec if is_open else spec)
    count = PEEK_ROWS if request["look"] == "spec" else request["rows"]
    limits = ReadLimits(max_row_bytes=request["max_row_bytes"], block_rows=count)
    form = inspect_file(path, file_format, plan.reading, limits)
    reading = form_of_rows(form, row_format_of(file_format))
    if request["look"] == "spec" and is_document_format(row_format_of(file_format)):
        # All documents have the same columns, and reading every one now would take minutes.
        check_columns(plan.mapping, PASSAGE_COLUMNS)
        return reading
    rows = first_rows(path, file_format, form, limits, request.get("name", ""))
    if request["look"] == "spec":
        check_fit(rows, plan)
        return reading
    if is_open:
        spec = spec | {"mapping": propose_mapping(_readable_columns(rows))}
        plan = plan_dataset(spec)
    stages = stages_of(plan, bytes.fromhex(request["pseudonym_key"]))
    return {**preview(rows, plan, stages), "reading": reading, "mapping": spec["mapping"]}


def first_rows(
    path: Path, file_format: FileFormat, form: FileForm, limits: ReadLimits, name: str = ""
) -> list[SourceRow | RejectedRow]:
    """The first block of rows of a file, parsed."""
    with closing(read_blocks(path, file_format, limits, form, name)) as blocks:
        rows = (row for block in blocks for row in parse_block(block))
        return list(islice(rows, limits.block_rows))


def check_fit(rows: Iterable[SourceRow | RejectedRow], plan: DatasetPlan) -> None:
    """Reject a plan that reads a column which no row has.

    Raises:
        InvalidInputError: Names every missing column.
    """
    columns = columns_of(rows)
    # Without a readable row the columns are unknown; the job reports the rows' faults.
    if columns:
        check_columns(plan.mapping, columns)


def _readable_columns(rows: Sequence[SourceRow | RejectedRow]) -> list[str]:
    """Columns to propose a mapping of.

    Raises:
        InvalidInputError: No row can be read; says why the first one cannot.
    """
    columns = columns_of(rows)
    if rows and not columns and isinstance(rows[0], RejectedRow):
        raise InvalidInputError(
            f"reading: none of the first {len(rows)} rows can be read. Line {rows[0].line}:"
            f" {rows[0].reason}"
        )
    return columns


def columns_of(rows: Iterable[SourceRow | RejectedRow]) -> list[str]:
    """Distinct columns, in order of first appearance."""
    columns: dict[str, None] = {}
    for row in rows:
        if isinstance(row, SourceRow):
            columns.update(dict.fromkeys(row.columns))
    return list(columns)


def preview(
    rows: Sequence[SourceRow | RejectedRow],
    plan: DatasetPlan,
    stages: Sequence[tuple[str, Stage]],
) -> dict[str, Any]:
    """Preview rows: {"columns": [...], "rows": [{"line", "row_json", "reason", "changes"}]}.

    Rows are in file order, limited to `SHOWN_BYTES`, with at least one.


    Raises:
        InvalidInputError: The plan reads a missing column.
    """
    check_fit(rows, plan)
    shown = sorted(_shown(rows, plan, stages), key=lambda row: int(row["line"]))
    shown = shown[: that_fit(len(row["row_json"].encode()) for row in shown)]
    columns = [name[:SHOWN_NAME_CHARACTERS] for name in columns_of(rows)]
    return {"columns": columns[:SHOWN_COLUMNS], "rows": shown}


def _shown(
    rows: Sequence[SourceRow | RejectedRow],
    plan: DatasetPlan,
    stages: Sequence[tuple[str, Stage]],
) -> Iterable[dict[str, Any]]:
    passed = map_block(rows, plan.mapping)
    yield from _dropped(passed.dropped)
    for _, stage in stages:
        passed = stage(passed.rows)
        yield from _dropped(passed.dropped)
    kept = passed.rows
    parts = (kept.column("line").to_pylist(), kept.column("changes").to_pylist())
    for line, changes, row in zip(*parts, write_rows(kept).lines, strict=True):
        yield _entry(line, row_json=row.decode(), changes=changes)


def _dropped(dropped: pa.RecordBatch) -> Iterable[dict[str, Any]]:
    for row in dropped.to_pylist():
        detail = row["detail"]
        reason = row["rule"] if detail is None else f"{row['rule']}: {detail}"
        yield _entry(row["line"], reason=reason)


def _entry(
    line: int, *, row_json: str = "", reason: str = "", changes: Sequence[str] = ()
) -> dict[str, Any]:
    return {"line": line, "row_json": row_json, "reason": reason, "changes": list(changes)}


MEMORY_BYTES = 8 << 30
"""Address-space limit; libraries reserve more than they use."""


def main() -> None:
    """Serve until the service closes the pipe."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    with os.fdopen(int(sys.argv[1]), "wb") as answers:
        for line in sys.stdin.buffer:
            answer = json.dumps(_answer(json.loads(line)), ensure_ascii=False)
            answers.write(answer.encode("utf-8", "replace") + b"\n")
            answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": inspect(request, stages_of)}
    except InvalidInputError as error:
        return {"errors": error.errors}
    except MemoryError:
        return {"errors": ["inspecting the file takes too much memory. Upload a smaller file"]}


if __name__ == "__main__":
    main()
