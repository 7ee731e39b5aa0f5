"""Parts run one after the other, and one that fails does not take the others along."""

from pathlib import Path

from rich.console import Console

from tests.chaos.__main__ import run_parts
from tests.chaos.parts import NAMES, Part, Tell, parts
from tests.chaos.report import Report


async def test_a_part_that_fails_is_told_and_the_others_run():
    ran = []

    async def fails(_report: Report, _folder: Path, _tell: Tell) -> None:
        raise OSError("no room")

    async def runs(_report: Report, _folder: Path, tell: Tell) -> None:
        tell(1, 2)
        ran.append(True)

    report = Report()
    wanted = [Part("first", "the first", 1, fails), Part("second", "the second", 1, runs)]
    await run_parts(wanted, report, Console(quiet=True))

    assert ran == [True]
    assert report.given_up == {"the first": "OSError: no room"}
    assert report.broken_promises() == ["the first was given up: OSError: no room"]


def test_each_part_has_a_name_and_each_seed_is_one():
    assert len(parts(range(1, 11))) == len(NAMES) - 1 + 10
