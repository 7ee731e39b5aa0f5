"""Writes the files of a dataset, block by block in source order."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from modelmill_token_files.token_file import TrainingOrder
from modelmill_token_files.token_folder import TokenFolder
from modelmill_token_files.tokens_plan import TokensPlan

from modelmill_data_prep.domain.curriculum.curriculum_plan import NONE, CurriculumPlan
from modelmill_data_prep.domain.curriculum.row_order import RowMeasures, order_rows
from modelmill_data_prep.domain.dataset_plan import DatasetPlan
from modelmill_data_prep.domain.lineage.merkle import MerkleTree
from modelmill_data_prep.domain.lineage.row_provenance import PROVENANCE, Bases, placed
from modelmill_data_prep.domain.provenance_file import PROVENANCE_FILE
from modelmill_data_prep.domain.row_decisions import SPLITS
from modelmill_data_prep.domain.tally import Tally
from modelmill_data_prep.domain.tokens.packing import plan_packs
from modelmill_data_prep.pipeline.intermediate_store import BlockFileWriter
from modelmill_data_prep.pipeline.row_worker import SecondPart
from modelmill_data_prep.pipeline.training_extras import TrainMeasures

TIERS = ("easy", "medium", "hard")


@dataclass
class DatasetOutput:
    """Context manager for splits, quarantine, provenance, token files and training order.


    Args:
        folder: The dataset's folder, which exists.
        tokens: Tokenization plan; None for no token files.
    """

    folder: Path
    tokens: TokensPlan | None = None
    trees: dict[str, MerkleTree] = field(default_factory=lambda: {n: MerkleTree() for n in SPLITS})
    """Merkle tree by split."""
    _sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    _stack: ExitStack = field(default_factory=ExitStack)
    _files: dict[str, IO[bytes]] = field(default_factory=dict)
    _token_files: TokenFolder | None = None
    _train: list[TrainMeasures] = field(default_factory=list)

    def __enter__(self) -> "DatasetOutput":
        for name in (*SPLITS, "quarantine"):
            file = (self.folder / f"{name}.jsonl").open("xb")
            self._files[name] = self._stack.enter_context(file)
        self._provenance = self._stack.enter_context(
            BlockFileWriter(self.folder / PROVENANCE_FILE, PROVENANCE, compression="zstd")
        )
        if self.tokens is not None:
            self._token_files = self._stack.enter_context(TokenFolder(self.folder))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def append(self, part: SecondPart) -> None:
        """Append a block."""
        bases = {name: Bases(self.trees[name].size, self._sizes[name]) for name in SPLITS}
        if part.provenance.num_rows:  # an empty batch would have no first line
            self._provenance.write(placed(part.provenance, bases))
        self._files["quarantine"].write(part.quarantine)
        for name, piece in part.pieces.items():
            self._files[name].write(piece.lines)
            self._sizes[name] += len(piece.lines)
            self.trees[name].add_packed(piece.leaves)
        if self._token_files is not None:
            for name, rows in part.tokens.items():
                self._token_files.append(name, rows)
        if part.train is not None:
            self._train.append(part.train)

    def finish(self, plan: DatasetPlan, tally: Tally) -> None:
        """Write files that need all rows: training order and packs."""
        order = self._order(plan.curriculum, plan.seed)
        if order is not None:
            order.write(self.folder)
            counts = [int((order.tiers == tier).sum()) for tier in range(len(TIERS))]
            tally.difficulty.update(dict(zip(TIERS, counts, strict=True)))
        if self._token_files is not None and self.tokens is not None:
            lengths = self._token_files.lengths("train")
            rows = None if order is None else order.rows
            packs = plan_packs(lengths, plan.tokenize.pack_tokens, rows)
            self._token_files.finish(self.tokens, packs)

    def _order(self, plan: CurriculumPlan, seed: int) -> TrainingOrder | None:
        if plan.order == NONE or not self.trees["train"].size:
            return None
        measures = RowMeasures.joined([part.measures for part in self._train])
        keys = np.concatenate([part.keys for part in self._train])
        given = [part.losses for part in self._train if part.losses is not None]
        losses = np.concatenate(given) if given else None
        return order_rows(measures.difficulties(plan, losses), keys, plan, seed)
