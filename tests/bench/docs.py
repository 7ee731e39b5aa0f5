"""docs.*: the documentation, counted and tried.

    python -m tests.bench.docs [--keep]

`docs.blocks.run`: code blocks of README and docs that are run or held to their form, of those that
are not marked; `docs.blocks.marked`: those with the reason why they are not run (`tests.docs`).
`docs.blocks.equal`: blocks of the Chinese documents that are those of the English ones.
`docs.links.broken`: relative links and anchors of all documents that lead nowhere.
`docs.site.offline`: pages of the site as `make docs` builds it in a network namespace that has not
even a loopback address; 0 where it does not build. The build itself fails on a page that fetches
something from elsewhere, has an inline script or style, or a dead link.
`docs.site.seconds`: what that build takes.
`--keep` writes deploy/bench/hub.json, in place of the entries of the same ids there.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from deploy.site.pages import pages_of_tree
from tests.bench.figures import Entry
from tests.bench.kept_entries import run_groups
from tests.docs.blocks import READ, ROOT, RUN, Block, all_blocks, blocks_of, translations
from tests.docs.links import is_broken, links_of
from tests.docs.running import BlockFailedError, Reader, reading

RESULT = Path("deploy/bench/hub.json")
SITE = ROOT / "build" / "site"
OFFLINE = ("unshare", "--user", "--map-root-user", "--net")


def block_entries() -> list[Entry]:
    """Of code blocks, each of which is run here."""
    blocks = all_blocks()
    marked = [block for block in blocks if block.reason]
    unmarked = [block for block in blocks if not block.reason]
    # Tests hold what is read to its form, and stop a commit where it has another.
    fine = [block for block in unmarked if block.language in READ]
    with TemporaryDirectory(prefix="docs-") as place, reading(Path(place)) as reader:
        runnable = [block for block in unmarked if block.language in RUN]
        ran_elsewhere = _pages_of_examples()
        for page in dict.fromkeys(block.page for block in runnable):
            blocks = [block for block in runnable if block.page == page]
            if page in ran_elsewhere:
                fine += blocks if ran_elsewhere[page] else ()
            else:
                fine += _run(reader, blocks)
    pairs = [(blocks_of(en), blocks_of(zh)) for en, zh in translations().items()]
    equal = sum(
        one.code == other.code for en, zh in pairs for one, other in zip(en, zh, strict=False)
    )
    chinese = sum(len(zh) for _, zh in pairs)
    return [
        _entry("blocks.run", len(fine), "blocks", len(unmarked), "run, or read as recipe or JSON"),
        _entry("blocks.marked", len(marked), "blocks", None, _reasons(marked)),
        _entry("blocks.equal", equal, "blocks", chinese, "the same in English and Chinese"),
    ]


def _run(reader: Reader, blocks: Sequence[Block]) -> Sequence[Block]:
    """Those of a page that ran; a page counts as a whole or not at all."""
    try:
        reader.run(blocks)
    except BlockFailedError as error:
        print(error, file=sys.stderr)
        return ()
    return blocks


def _pages_of_examples() -> dict[str, bool]:
    """Whether the commands of each example's README run, where its model is (`tests/examples`)."""
    with TemporaryDirectory(prefix="examples-") as place:
        result = Path(place) / "result.xml"
        tests = ["tests/examples/test_reduced.py", "-k", "commands_of_its_readme"]
        command = [sys.executable, "-m", "pytest", "-q", *tests, f"--junitxml={result}"]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = list(ElementTree.parse(result).iter("testcase"))
    name = re.compile(r"\[(.+)\]$")
    found = {it[1]: len(case) == 0 for case in cases if (it := name.search(case.attrib["name"]))}
    return {f"examples/{example}/README.md": ran for example, ran in found.items()}


def _reasons(marked: Sequence[Block]) -> str:
    return "; ".join(f"{block.name}: {' '.join(block.reason.split())}" for block in marked)


def link_entries() -> list[Entry]:
    """Of links in all documents."""
    documents = [ROOT / name for name in pages_of_tree() if name.endswith(".md")]
    every = [(link, document) for document in documents for link in links_of(document)]
    broken = sum(is_broken(*each) for each in every)
    note = f"of {len(every)} in {len(documents)} documents, anchors too"
    return [_entry("links.broken", broken, "links", 0, note)]


def site_entries() -> list[Entry]:
    """Of the site, built without network."""
    subprocess.run(["make", "install", "build/docs/installed"], check=True)
    began = time.monotonic()
    built = subprocess.run([*OFFLINE, "make", "docs"], check=False)
    seconds = time.monotonic() - began
    pages = len([*SITE.rglob("*.html")]) if built.returncode == 0 else 0
    least = len([name for name in pages_of_tree() if name.endswith(".md")])
    return [
        _entry("site.offline", pages, "pages", least, "built without network; at least so many"),
        _entry("site.seconds", seconds, "s", None, "of the build"),
    ]


PARTS: dict[str, Callable[[], list[Entry]]] = {
    "links": link_entries,
    "site": site_entries,
    "blocks": block_entries,
}


def _entry(name: str, value: float, unit: str, goal: float | None, note: str) -> Entry:
    """One count; a goal of 0 is a most, any other a least."""
    sign = "<=" if goal == 0 else ">="
    met = None if goal is None else (value <= goal if goal == 0 else value >= goal)
    return Entry(
        f"docs.{name}",
        value,
        unit,
        "no rival",
        1.0,
        "" if goal is None else f"{sign} {goal:g} {unit}",
        met,
        (value, value),
        note,
    )


if __name__ == "__main__":
    sys.exit(run_groups("tests.bench.docs", PARTS, RESULT))
