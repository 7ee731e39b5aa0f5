"""What one tenant's costly rules cost another tenant's chats.

A real gateway process and, in the caller's process, an inference that says random letters at once.
The quiet tenant sends one chat of 1 KB after the other, by the shared policy: alone, then beside
three callers of another tenant that send texts of 4 kB in a row and three that read streams of 200
tokens, through a policy of three patterns that are as costly as patterns can be, and then through
one whose patterns match at every letter.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.costly_rules.drill import EVERYWHERE, PATTERNS, Beside, costly_beside


def main() -> int:
    """Run both; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn")
    seconds = parser.parse_args().seconds
    broken = False
    for name, patterns in (("many states", PATTERNS), ("many matches", EVERYWHERE)):
        with tempfile.TemporaryDirectory(prefix="modelmill-costly-") as folder:
            run = asyncio.run(costly_beside(Path(folder), patterns, seconds))
        print(name, _figures(run), *run.broken_promises(), sep="; ", flush=True)
        broken = broken or bool(run.broken_promises())
    return 1 if broken else 0


def _figures(run: Beside) -> str:
    shown = [
        f"{which}: {len(taken)} chats, p50 {1000 * np.median(taken):.1f} ms, p99"
        f" {1000 * np.quantile(taken, 0.99):.1f} ms, max {1000 * max(taken):.1f} ms"
        for which, taken in (("alone", run.alone), ("beside", run.beside))
    ]
    return "; ".join([*shown, f"p50 ratio {run.ratio:.2f}", f"costly answers {run.costly}"])


if __name__ == "__main__":
    sys.exit(main())
