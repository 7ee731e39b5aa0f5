"""The rival of prep.*.datatrove: the same operations as its documentation strings them together.

`python rival_datatrove.py SHARDS FOLDER PROCESSES LIMITS`, by the Python of build/datatrove; SHARDS
is a folder with a file for each process, LIMITS a JSON object (`prep_limits`). Rows kept are in
FOLDER/rows. No network.

Five jobs of its local executor, each over all processes where it can be: read, repair, filter and
sign for exact duplicates; find these; sign what is left for near duplicates; find these by bucket;
cluster and write. Files between them are not compressed, processes are forked and buffers are whole
files: all quicker than the defaults. It has no filter by characters: those are functions in its
`LambdaFilter`. Its HTML extractors take whole pages apart and would empty a row, so markup goes by
selectolax, as it does at data-juicer. Its shingles are words: a tokenizer of its own kind gives it
characters, which both languages can have.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
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


def main() -> None:
    """All five jobs, one after the other."""
    shards, folder = sys.argv[1], Path(sys.argv[2])
    processes, limits = int(sys.argv[3]), json.loads(sys.argv[4])
    exact = ExactDedupConfig(content_getter=content)
    near = MinhashConfig(
        n_grams=limits["shingle_characters"],
        num_buckets=limits["bands"],
        hashes_per_bucket=limits["rows_per_band"],
        norm_config=SAME_TEXT,
    )

    def run(name: str, steps: list[Any], tasks: int) -> None:
        LocalPipelineExecutor(
            steps,
            tasks=tasks,
            workers=min(tasks, processes),
            logging_dir=str(folder / "logs" / name),
            start_method="fork",
        ).run()

    def place(name: str) -> str:
        return str(folder / name)

    clean = [
        JsonlReader(shards, add_file_path=False),
        FTFYFormatter(normalization="NFC"),
        MarkupRemover(),
        LambdaFilter(length_filter(limits)),
        LambdaFilter(symbol_filter(limits)),
        LambdaFilter(repetition_filter(limits)),
        JsonlWriter(place("clean"), compression=None),
        ExactDedupSignature(place("exact"), exact, finder_workers=processes),
    ]
    run("clean", clean, processes)
    find = ExactFindDedups(place("exact"), place("same"), exact, lines_to_buffer=WHOLE_FILE)
    run("exact", [find], processes)
    left = [
        JsonlReader(place("clean"), add_file_path=False),
        ExactDedupFilter(place("same"), exact),
    ]
    tokenizer = Characters()
    run("sign", [*left, MinhashDedupSignature(place("near"), near, language=tokenizer)], processes)
    buckets = MinhashDedupBuckets(
        place("near"), place("pairs"), config=near, lines_to_buffer=WHOLE_FILE
    )
    run("buckets", [buckets], near.num_buckets)
    cluster = MinhashDedupCluster(
        place("pairs"), place("removed"), near, lines_to_buffer=WHOLE_FILE
    )
    run("cluster", [cluster], 1)
    written = [MinhashDedupFilter(place("removed")), JsonlWriter(place("rows"), compression=None)]
    run("write", [*left, *written], processes)


if __name__ == "__main__":
    main()
