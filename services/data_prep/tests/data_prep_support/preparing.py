"""Datasets made in this process, without jobs and services."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.lineage.row_provenance import ProvenanceFile
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.source_files import SourceFile
from modelmill_data_prep.pipeline.model_augmentation import RowModels
from modelmill_data_prep.prepare_dataset import PrepareDataset, PreparedDataset
from modelmill_data_prep.prepare_in_child import tokens_plan

SPLITS = ("train", "valid", "test")
QUESTIONS = {"user_template": "{q}", "answer_template": "{a}"}


class Dataset:
    """What a run left in its folder."""

    def __init__(self, made: PreparedDataset, folder: Path) -> None:
        self.counts = made.counts
        self.choices = made.choices
        self.merkle_root = made.merkle_root
        self.models = made.models
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.bytes = {path.name: path.read_bytes() for path in files}
        self.splits = {split: self._lines(f"{split}.jsonl") for split in SPLITS}
        self.quarantine = self._lines("quarantine.jsonl")
        self.report = json.loads(self.bytes["report.json"])
        provenance = ProvenanceFile(folder / "provenance.arrow")
        self.provenance = [row for batch in provenance.batches() for row in batch.to_pylist()]

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.bytes[name].decode().split("\n")[:-1]]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for split in SPLITS for row in self.splits[split]]


def prepare(
    lines: Sequence[object],
    *,
    processes: int = 1,
    block_rows: int = 1_000,
    evaluation: Sequence[Sequence[object]] = (),
    tokens: dict[str, Any] | None = None,
    models: RowModels | None = None,
    look: Callable[[Path], None] = lambda folder: None,
    **spec: Any,
) -> Dataset:
    """Prepare a JSONL file of these values (bytes as they are), beside files for evaluation.

    `tokens` is what the job's request has; `models` are those asked; `look` sees the dataset's
    folder.
    """
    request = {"spec": {"mapping": QUESTIONS, **spec}, "pseudonym_key": "00" * 32}
    request["tokens"] = tokens
    limits = ReadLimits(max_row_bytes=10_000, block_rows=block_rows)
    with TemporaryDirectory() as root, LocalPool(request, processes) as pool:
        files = [
            _written(Path(root) / f"content{number}", rows)
            for number, rows in enumerate([lines, *evaluation])
        ]
        folder = Path(root) / "dataset"
        work = PrepareDataset(pool, lambda *_: None, limits, tokens_plan(tokens), models)
        made = work(files[0], files[1:], plan_dataset(request["spec"]), folder)
        left = sorted(path.name for path in Path(root).iterdir())
        assert left == [*(file.path.name for file in files), "dataset"]
        look(folder)
        return Dataset(made, folder)


def _written(path: Path, lines: Sequence[object]) -> SourceFile:
    rows = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path.write_bytes(b"\n".join(rows))
    return SourceFile(path, "jsonl")


def questions(count: int) -> list[dict[str, str]]:
    """Different questions with one of three answers."""
    return [{"q": f"question {n}", "a": str(n % 3)} for n in range(count)]
