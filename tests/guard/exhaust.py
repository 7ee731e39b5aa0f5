"""`python -m tests.guard.exhaust`: every two cuts of every text, in both directions; some minutes.

Exit status 1 when a verdict depends on the cuts or a character leaks; all such places are printed.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import combinations_with_replacement

from modelmill_guard.verdict import Direction

from tests.guard.corpus.rows import corpus, policy
from tests.guard.judged import LeakError, cut, expected, simple_cuts, streamed


def main() -> int:
    """Exit status 0 when all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.guard.exhaust", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="one text of so many (1)")
    asked = parser.parse_args()
    texts = [row.text for row in corpus()][:: asked.every]
    streams = failures = 0
    for number, text in enumerate(texts, 1):
        for direction in Direction:
            wanted = expected(policy(), text, direction)
            for pieces in _all_cuts(text):
                streams += 1
                try:
                    wanted.hold(*streamed(policy(), pieces, direction), pieces)
                except LeakError as error:
                    failures += 1
                    print(error)
        if number % 100 == 0:
            print(f"{number} of {len(texts)} texts, {streams} streams", flush=True)
    print(f"{len(texts)} texts, {streams} streams, {failures} failures")
    return 1 if failures else 0


def _all_cuts(text: str) -> Iterator[list[str]]:
    yield from simple_cuts(text)
    for places in combinations_with_replacement(range(len(text) + 1), 2):
        yield cut(text, places)


if __name__ == "__main__":
    sys.exit(main())
