"""The rival of prep.*.datatrove: the same operations as its documentation strings them together.

`python rival_datatrove.py SHARDS FOLDER PROCESSES LIMITS`, by the Python of build/datatrove; SHARDS
is a folder with a file for each process, LIMITS a JSON object (`prep_spec`). Rows kept are in
FOLDER/rows. No network.

Six jobs of its local executor, each over all processes where it can be: read, repair, filter and
sign for exact duplicates; find these; sign what is left for near duplicates; find these by bucket;
cluster them; write. Files between them are not compressed, processes are forked and buffers are
whole files: all quicker than the defaults. It has no filter by characters: those are functions in
its `LambdaFilter`. Its HTML extractors take whole pages apart and would empty a row, so markup goes
by selectolax, as it does at data-juicer. Its shingles are words: a tokenizer of its own kind gives
it characters, which both languages can have; with words it takes a fifth less time and finds fewer.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from selectolax.lexbor import LexborHTMLParser

SYMBOL = re.compile(r"[^\w\s]|_")
WHOLE_FILE = -1
SAME_TEXT = TextNormConfig(
    remove_punctuation=False, norm_unicode_diacritics=False, norm_numbers=False
)
"""Lower case and single spaces, as on our side."""


class MarkupRemover(BaseFormatter):
    """Leaves the text of HTML."""

    name = "markup"

    def format(self, text: str) -> str:
        """Only what may be markup is parsed."""
        return LexborHTMLParser(text).text() if "<" in text else text


class Characters(WordTokenizer):
    """Each character is a word."""

    def word_tokenize(self, text: str) -> list[str]:
        """The characters."""
        return list(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """Not asked for."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Not asked for."""
        return [(0, len(text))]


def content(document: Document) -> str:
    """What equal rows have in common."""
    return str(document.text)


def length_filter(limits: dict[str, Any]) -> Callable[[Document], bool]:
    """By number of characters."""
    low, high = limits["characters_min"], limits["characters_max"]
    return lambda document: low <= len(document.text) <= high


def symbol_filter(limits: dict[str, Any]) -> Callable[[Document], bool]:
    """By the share of characters that are neither letter, digit nor space."""
    most = limits["symbol_share_max"]
    return lambda document: len(SYMBOL.findall(document.text)) <= most * len(document.text)


def repetition_filter(limits: dict[str, Any]) -> Callable[[Document], bool]:
    """By the share of runs of characters that come again; data-juicer's measure."""
    size, most = limits["repetition_characters"], limits["repetition_max"]

    def is_fine(document: Document) -> bool:
        text = document.text
        total = len(text) - size + 1
        runs = [text[start : start + size] for start in range(total)]
        if len(set(runs)) == len(runs):
            return True
        counts: dict[str, int] = {}
        for run in runs:
            counts[run] = counts.get(run, 0) + 1
        ordered = sorted(counts.values(), reverse=True)
        repeated = min(int(len(ordered) ** 0.5), len(ordered) - ordered.count(1))
        return sum(ordered[:repeated]) <= most * total

    return is_fine


class Jobs:
    """The jobs on one machine; the files between them are in `folder`."""

    def __init__(self, folder: Path, processes: int, limits: dict[str, Any]) -> None:
        self._folder = folder
        self._processes = processes
        self._limits = limits
        self._exact = ExactDedupConfig(content_getter=content)
        self._near = MinhashConfig(
            n_grams=limits["shingle_characters"],
            num_buckets=limits["bands"],
            hashes_per_bucket=limits["rows_per_band"],
            norm_config=SAME_TEXT,
        )

    def run(self, shards: str) -> None:
        """All of them, one after the other."""
        self._job("clean", self._clean(shards), self._processes)
        same = ExactFindDedups(
            self._place("exact"), self._place("same"), self._exact, lines_to_buffer=WHOLE_FILE
        )
        self._job("exact", [same], self._processes)
        sign = MinhashDedupSignature(self._place("near"), self._near, language=Characters())
        self._job("sign", [*self._left(), sign], self._processes)
        buckets = MinhashDedupBuckets(
            self._place("near"),
            self._place("pairs"),
            config=self._near,
            lines_to_buffer=WHOLE_FILE,
        )
        self._job("buckets", [buckets], self._near.num_buckets)
        cluster = MinhashDedupCluster(
            self._place("pairs"), self._place("removed"), self._near, lines_to_buffer=WHOLE_FILE
        )
        self._job("cluster", [cluster], 1)
        kept = MinhashDedupFilter(self._place("removed"))
        written = JsonlWriter(self._place("rows"), compression=None)
        self._job("write", [*self._left(), kept, written], self._processes)

    def _clean(self, shards: str) -> list[PipelineStep]:
        return [
            JsonlReader(shards, add_file_path=False),
            FTFYFormatter(normalization="NFC"),
            MarkupRemover(),
            LambdaFilter(length_filter(self._limits)),
            LambdaFilter(symbol_filter(self._limits)),
            LambdaFilter(repetition_filter(self._limits)),
            JsonlWriter(self._place("clean"), compression=None),
            ExactDedupSignature(self._place("exact"), self._exact, finder_workers=self._processes),
        ]

    def _left(self) -> list[PipelineStep]:
        """The rows that equal no earlier one."""
        clean = JsonlReader(self._place("clean"), add_file_path=False)
        return [clean, ExactDedupFilter(self._place("same"), self._exact)]

    def _job(self, name: str, steps: list[PipelineStep], tasks: int) -> None:
        LocalPipelineExecutor(
            steps,
            tasks=tasks,
            workers=min(tasks, self._processes),
            logging_dir=self._place(f"logs/{name}"),
            start_method="fork",
        ).run()

    def _place(self, name: str) -> str:
        return str(self._folder / name)


def main() -> None:
    """As the arguments say."""
    _, shards, folder, processes, limits = sys.argv
    Jobs(Path(folder), int(processes), json.loads(limits)).run(shards)


if __name__ == "__main__":
    main()
