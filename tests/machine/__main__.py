"""`python -m tests.machine --examples N`: explore, and print what was explored."""

import argparse
import sys
import time

from tests.machine.exploring import explore, summary


def main() -> int:
    """Exit status 0 when no promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="of each, at most (%(default)s)")
    parser.add_argument("--heedless", action="store_true", help="the control: no compare-and-set")
    parser.add_argument("--fixed", action="store_true", help="the same examples each time")
    asked = parser.parse_args()
    began = time.monotonic()
    found = explore(
        examples=asked.examples, steps=asked.steps, not_compared=asked.heedless, fixed=asked.fixed
    )
    print(summary(found, time.monotonic() - began))
    if found.violation:
        print(found.violation)
    return 1 if found.violation else 0


if __name__ == "__main__":
    sys.exit(main())
