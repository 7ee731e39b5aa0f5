"""The process in which a parser is fuzzed: `python -m tests.fuzz.child NAME SECONDS SEED FOLDER`.

An input that brings it down, or takes all memory that it may have, costs this process alone.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.fuzzing import bound_memory, fuzz
from tests.fuzz.parsers import PARSERS
from tests.fuzz.tally import Tally

CURRENT, TALLY = "current", "tally.json"
"""Files of the folder: the input in hand, and what came of all so far."""


def main() -> None:
    """Fuzz, and leave the tally in the folder."""
    name, seconds, seed, place = sys.argv[1:]
    folder = Path(place)

    def report(tally: Tally) -> None:
        written = folder / f"{TALLY}.part"
        written.write_text(json.dumps(asdict(tally)))
        written.replace(folder / TALLY)

    bound_memory()
    fuzz(name, PARSERS[name], float(seconds), seed, folder / CURRENT, report)


if __name__ == "__main__":
    main()
