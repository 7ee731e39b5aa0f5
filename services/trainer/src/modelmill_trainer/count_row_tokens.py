"""Counts the tokens of a dataset's rows as a base reads them, and remembers what it has counted."""

import asyncio
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore

COUNT = "modelmill_trainer.row_tokens:mean_row_tokens"
"""In a process of its own, with limits: the tokenizer is foreign code."""
TOKENIZER_ENDINGS = (".json", ".jinja")
KEPT_COUNTS = 256


class CountRowTokens:
    """Counts, one dataset at a time; artifacts never change, so a count holds for good."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._counted: OrderedDict[tuple[str, str, bool], float] = OrderedDict()
        self._turn = asyncio.Lock()

    async def __call__(
        self, base: ModelReady, dataset: DatasetReady, *, with_rejected: bool
    ) -> float:
        """Mean tokens of a row of the train split, by its token files or over a sample.

        Args:
            with_rejected: Whether rejected answers are read, too.

        Raises:
            InvalidInputError: The base reads none of the rows.
            NotFoundError: Files of base or dataset are missing.
            PreconditionError: They are corrupt, or the tokenizer passes a limit.
        """
        key = (base.digest, dataset.digest, with_rejected)
        async with self._turn:
            if key not in self._counted:
                self._counted[key] = await asyncio.to_thread(self._count, *key)
            self._counted.move_to_end(key)
            if len(self._counted) > KEPT_COUNTS:
                self._counted.popitem(last=False)
            return self._counted[key]

    def _count(self, base_digest: str, dataset_digest: str, with_rejected: bool) -> float:
        # The library takes 20 MB: a service that is asked for no estimate goes without.
        from modelmill_tokenization.bounded.call import bounded_call

        rows = self._store.materialise(dataset_digest)
        with TemporaryDirectory() as folder, in_use(rows):
            self._write_tokenizer(base_digest, Path(folder))
            given = {
                "tokenizer": folder,
                "dataset": str(rows),
                "with_rejected": with_rejected,
            }
            return float(bounded_call(COUNT, given))

    def _write_tokenizer(self, digest: str, folder: Path) -> None:
        """Its files alone: weights are not fetched to count."""
        for entry in self._store.manifest(digest).files:
            if entry.path.endswith(TOKENIZER_ENDINGS):
                file = folder / entry.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._store.content(digest, entry.path))
