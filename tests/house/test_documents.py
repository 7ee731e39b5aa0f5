"""Documents name only what exists, and every decision says what would make us revisit it."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
READMES = [ROOT / "README.md", *ROOT.glob("libs/*/README.md"), *ROOT.glob("services/*/README.md")]
EXACT = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "docs" / "promises.md"]
"""In these every path is one from the root."""
KINDS_OF_CHANGE = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
PYTHON_FILES = {
    file.name
    for folder in ("deploy", "examples", "libs", "proto", "services", "tests")
    for file in (ROOT / folder).rglob("*.py")
}
TOP = "deploy|docs|examples|libs|proto|services|tests"
PATH = re.compile(rf"(?<![\w./])(?:{TOP})/[\w./*-]*\w(?:\.\w+)?")
TARGET = re.compile(r"`make ([a-z-]+)")
MODULE = re.compile(r"python -m (tests(?:\.\w+)+)")
LINK = re.compile(r"(?:\]\(|^\[\w+\]: )([^)\s:#]+)(?:[)\s#]|$)", re.MULTILINE)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("document", EXACT, ids=name_of)
def test_each_path_in_a_document_exists(document: Path):
    paths = sorted(set(PATH.findall(document.read_text("utf-8"))))
    assert paths
    assert [path for path in paths if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("document", [*EXACT, *READMES, *DOCS], ids=name_of)
def test_each_command_and_link_in_a_document_leads_somewhere(document: Path):
    text = document.read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    modules = {name for name in MODULE.findall(text) if not module_exists(name)}
    links = {link for link in LINK.findall(text) if not (document.parent / link).exists()}

    assert set(TARGET.findall(text)) <= set(targets)
    assert not modules
    assert not links


def module_exists(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return (place / "__main__.py").is_file() or place.with_suffix(".py").is_file()


def entries(text: str) -> list[str]:
    """The items of a document's lists, each in one line."""
    items = re.split(r"^- ", text.partition("\n## ")[2] or text, flags=re.MULTILINE)[1:]
    return [" ".join(item.partition("\n#")[0].split()) for item in items]


def test_each_promise_has_its_evidence():
    text = (ROOT / "docs" / "promises.md").read_text("utf-8").partition("\n## Not promised")[0]
    promises = entries(text)

    assert len(promises) > 30
    assert [it for it in promises if not re.match(r"\*\*.+?\*\*.* Evidence: .*`", it)] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.name)
def test_a_decision_has_a_date_and_what_would_make_us_revisit_it(decision: Path):
    decided = entries(decision.read_text("utf-8"))

    assert decided
    assert [it for it in decided if not re.match(r"\d{4}-\d\d-\d\d: .*\brevisit\b", it, re.I)] == []


def test_decisions_are_numbered_without_gaps_and_each_is_in_the_index():
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    numbers = [int(file.name[:4]) for file in DECISIONS]

    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert [file.name for file in DECISIONS if index.count(f"]({file.name})") != 1] == []


def test_an_entry_of_the_changelog_is_one_line():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    bodies = [section.partition("\n")[2].partition("\n## ")[0] for section in sections]

    assert {section.partition("\n")[0] for section in sections} <= KINDS_OF_CHANGE
    assert [it for body in bodies for it in body.split("\n") if it and it[:2] != "- "] == []


def test_the_python_of_the_readme_uses_only_names_that_it_defines():
    text = (ROOT / "README.md").read_text("utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        ruff = [Path(sys.executable).with_name("ruff"), "check", "--isolated", "--select=F821", "-"]
        checked = subprocess.run(ruff, input=example, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def test_what_make_does_not_make_is_refused_with_where_to_look():
    made = subprocess.run(
        ["make", "-C", str(ROOT), "demmo"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert "nothing called demmo to make; make help lists what there is" in made.stderr


def test_each_identifier_of_the_glossary_is_in_the_code():
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| term |")[2]
    names = re.findall(r"`(\w+)`", " ".join(re.findall(r"\| ([^|]*) \|$", table, re.MULTILINE)))
    sources = [
        file for folder in ("libs", "services") for file in ROOT.glob(f"{folder}/*/src/**/*.py")
    ]
    code = "\n".join(f"{file} {file.read_text('utf-8')}" for file in sources)

    assert len(names) > 10
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize("document", [*EXACT, *READMES, *DOCS], ids=name_of)
def test_each_python_file_that_a_document_names_exists(document: Path):
    named = set(re.findall(r"`(?:[\w.-]+/)*([\w-]+\.py)`", document.read_text("utf-8")))
    assert named <= PYTHON_FILES
