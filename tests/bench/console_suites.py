"""console.journeys and console.axe: what the browser tests of the console say, as entries."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.bench.figures import Entry, all_of
from tests.browser.console_texts import LANGUAGES

LEAST_JOURNEYS, LEAST_TESTS = 20, 10
JOURNEYS = ("tests/browser/test_console_journeys.py", "--both-languages", "-k", "its_end")
FINDINGS = ("tests/browser", "-k", "serious_finding")


def suite_entries() -> list[Entry]:
    """Journeys that were made in both languages, and tests in which axe found nothing serious."""
    return [_journeys(_outcomes(JOURNEYS)), _findings(_outcomes(FINDINGS))]


def _outcomes(selected: Sequence[str]) -> dict[str, bool]:
    """Whether each test passed, by its name."""
    with TemporaryDirectory(prefix="console-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *selected]
        subprocess.run(command, check=False)
        cases = list(ElementTree.parse(report).iter("testcase"))
    return {f"{case.get('classname')} {case.get('name')}": len(case) == 0 for case in cases}


def _journeys(outcomes: dict[str, bool]) -> Entry:
    """Names are `test[LANGUAGE: JOURNEY]`."""
    languages: dict[str, set[str]] = defaultdict(set)
    for name, passed in outcomes.items():
        language, _, journey = name.partition("[")[2].rstrip("]").partition(": ")
        languages[journey] |= {language} if passed else set()
    whole = sum(each == {*LANGUAGES} for each in languages.values())
    return all_of(
        *("console.journeys", whole, len(languages), "journeys in both languages"),
        least=LEAST_JOURNEYS,
        note=f"{len(outcomes)} walks against a live gateway with faked peers",
    )


def _findings(outcomes: dict[str, bool]) -> Entry:
    return all_of(
        *("console.axe", sum(outcomes.values()), len(outcomes), "tests without a finding"),
        least=LEAST_TESTS,
        note="every page in both languages and themes, and filled pages, forms and reports; each"
        " test fails on one serious or critical finding of axe",
    )
