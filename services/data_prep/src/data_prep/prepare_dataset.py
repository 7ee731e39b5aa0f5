"""Use case: a file of rows to a folder with a dataset. Runs in a job's child process.

The rows pass in batches through stages that know nothing of each other: read, map (validate,
normalise, render), drop duplicates, measure. What outlives a batch is one digest for each row
kept and one for each user text. A second pass hands the kept rows to their splits.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from service_kit.errors import InvalidInputError

from data_prep.domain.dataset_plan import DatasetPlan
from data_prep.domain.duplicates.conversation_filter import DuplicateFilter
from data_prep.domain.duplicates.split_planner import SPLITS
from data_prep.domain.lines import LineReader
from data_prep.domain.map_rows import map_rows
from data_prep.domain.read_rows import READERS, FileFormat
from data_prep.domain.report import Measure, RowReport
from data_prep.domain.rows import Conversation, RejectedRow, batches
from data_prep.domain.splits import SplitPlan, group_of

BATCH_ROWS = 1_000
BATCH_BYTES = 2 * 1024 * 1024


class NoValidRowsError(InvalidInputError):
    """Not one row of the file can become a conversation."""


class Measurer(Protocol):
    def __call__(self, conversations: Sequence[Conversation]) -> Sequence[Measure]:
        """Measure each conversation."""


class Progress(Protocol):
    def __call__(self, phase: str, done: int, total: int) -> None:
        """Told after each batch, in rows; `total` is an estimate while the file is being read.

        May raise to end the work.
        """


@dataclass(frozen=True)
class PreparedDataset:
    """What the folder holds, for who files it."""

    counts: dict[str, int]
    choices: list[str] | None


class PrepareDataset:
    """Makes datasets; the same file and plan give the same bytes.

    Args:
        measure: Cuts texts into tokens.
        progress: Hears of every batch.
        max_row_bytes: A longer row is quarantined.
    """

    def __init__(self, measure: Measurer, progress: Progress, *, max_row_bytes: int) -> None:
        self._measure = measure
        self._progress = progress
        self._max_row_bytes = max_row_bytes

    def __call__(
        self, source: Path, file_format: FileFormat, plan: DatasetPlan, folder: Path
    ) -> PreparedDataset:
        """Write {train,valid,test}.jsonl, quarantine.jsonl and report.json into a new `folder`.

        Raises:
            NoValidRowsError: No row was kept.
            TooFewTextsError: The rows kept cannot fill the splits.
            InvalidInputError: The file is not of its format.
        """
        folder.mkdir(parents=True)
        kept_path = folder.with_name(f"{folder.name}.kept")
        first_pass = _FirstPass(self._measure, plan)
        with (
            source.open("rb") as file,
            _new_file(kept_path) as kept,
            _new_file(folder / "quarantine.jsonl") as quarantine,
        ):
            lines = LineReader(file, self._max_row_bytes)
            size = max(source.stat().st_size, 1)
            rows = READERS[file_format](lines)
            for batch in batches(rows, max_rows=BATCH_ROWS, max_bytes=BATCH_BYTES):
                first_pass.take(batch, kept, quarantine)
                done = first_pass.report.rows_in
                self._progress("prepare", done, max(done, done * size // lines.bytes_read))
        report = first_pass.report
        if not report.rows_kept:
            raise NoValidRowsError(_why_none(report))
        split = SplitPlan(first_pass.rows_of_group, plan)
        rows_of_split = self._write_splits(kept_path, split, folder, report.rows_kept)
        kept_path.unlink()
        counts = report.counts(rows_of_split, first_pass.duplicates.dropped_count)
        with _new_file(folder / "report.json") as file_:
            json.dump(report.to_json(counts, first_pass.duplicates), file_, ensure_ascii=False)
        return PreparedDataset(counts, report.choices)

    def _write_splits(self, kept: Path, split: SplitPlan, folder: Path, total: int) -> Counter[str]:
        written: Counter[str] = Counter()
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(_new_file(folder / f"{name}.jsonl")) for name in SPLITS
            }
            for line in stack.enter_context(kept.open(encoding="utf-8", newline="\n")):
                group, _, row = line.partition("\t")
                name = split.split_of(bytes.fromhex(group))
                files[name].write(row)
                written[name] += 1
                if written.total() % BATCH_ROWS == 0:
                    self._progress("split", written.total(), total)
        self._progress("split", total, total)
        return written


class _FirstPass:
    """The stages up to the kept rows, and what they remember from batch to batch."""

    def __init__(self, measure: Measurer, plan: DatasetPlan) -> None:
        self.report = RowReport()
        self.duplicates = DuplicateFilter()
        self.rows_of_group: Counter[bytes] = Counter()
        self._measure = measure
        self._plan = plan

    def take(self, batch: Sequence[Any], kept: IO[str], quarantine: IO[str]) -> None:
        self.report.rows_in += len(batch)
        mapped, refused = map_rows(batch, self._plan.mapping)
        self.report.add_rejected(refused)
        quarantine.writelines(_quarantine_line(row) for row in refused)
        conversations = self.duplicates.drop(mapped)
        measures = self._measure(conversations)
        for conversation, measure in zip(conversations, measures, strict=True):
            self.report.add_kept(conversation, measure)
            group = group_of(conversation, self._plan.seed)
            self.rows_of_group[group] += 1
            kept.write(f"{group.hex()}\t{_chat_line(conversation)}")


def _chat_line(conversation: Conversation) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in conversation.turns]
    return _json_line({"messages": messages, "row": conversation.line})


def _quarantine_line(row: RejectedRow) -> str:
    return _json_line({"line": row.line, "reason": row.reason, "raw": row.raw})


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _new_file(path: Path) -> IO[str]:
    return path.open("x", encoding="utf-8", newline="\n")


def _why_none(report: RowReport) -> str:
    if not report.rows_in:
        return "the file has no rows"
    reason, _ = report.reasons.most_common(1)[0]
    return f"none of {report.rows_in} rows is valid; the most common reason: {reason}"
