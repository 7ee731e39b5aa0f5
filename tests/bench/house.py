"""house.*: how large the product is, at one commit beside another.

    python -m tests.bench.house --before COMMIT [--after COMMIT] [--keep]

Reads both trees from git, so nothing that lies about is counted. Product source is what libs/ and
services/ have under src/, without generated code and without the test kit. A
definition is a public class or function at the top of a module.

Capabilities that the tree before did not have (`LATER`) are left out of all figures but one:
`house.later_lines` is their size.

`house.lines`, `.files`, `.one_definition` (files with at most one definition), `.short` (files of
under 30 lines), `.gateway_lines` and `.gateway_protocols`. Ratio: after over before. `--keep`
writes the entries to deploy/bench/house.json, in place of those of the same ids there.
"""

import argparse
import ast
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tests import run_record
from tests.bench.figures import Entry
from tests.bench.report import show

RESULT = Path("deploy/bench/house.json")
CLIENT = "libs/client/src/modelmill_client"
NOT_PRODUCT = ("libs/contracts/", "libs/testkit/", f"{CLIENT}/types.py", f"{CLIENT}/_sync/")
LATER = (
    *("libs/client/", "libs/recipes/"),
    *(
        f"libs/cli/src/modelmill_cli/{name}.py"
        for name in (
            *("commands/recipes", "plan_table", "recipe_tokens", "run_table"),
            *("commands/batches", "commands/files", "commands/train", "commands/webhooks"),
            *("model_export", "model_diff", "data_export", "orders", "output"),
        )
    ),
    "services/trainer/src/modelmill_trainer/tracking/wandb.py",
    "services/data_prep/src/modelmill_data_prep/domain/reading/source_files.py",
)
"""Of capabilities that were added since the tree before: they are counted apart."""
SHORT_LINES = 30
FEWER_LINES, GATEWAY_LINES = 6_000, 23_000


@dataclass(frozen=True)
class Module:
    """A source file of the product."""

    path: str
    lines: int
    definitions: int
    protocols: int

    @classmethod
    def read(cls, path: str, text: str) -> "Module":
        body = ast.parse(text).body
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        defined = [one for one in body if isinstance(one, kinds) and not one.name.startswith("_")]
        protocols = [one for one in ast.walk(ast.Module(body, [])) if _is_protocol(one)]
        return cls(path, len(text.splitlines()), len(defined), len(protocols))

    @property
    def is_of_gateway(self) -> bool:
        return self.path.startswith("services/gateway/")


def _is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(base).split("[")[0] == "Protocol" for base in node.bases
    )


def modules(commit: str) -> list[Module]:
    """The product's source files at a commit."""
    return [Module.read(path, text) for path, text in _sources(commit)]


def _sources(commit: str) -> Iterator[tuple[str, str]]:
    for path in _git("ls-tree", "-r", "--name-only", commit, "libs", "services").split("\n"):
        if "/src/" in path and path.endswith(".py") and not path.startswith(NOT_PRODUCT):
            yield path, _git("show", f"{commit}:{path}")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=True
    ).stdout.removesuffix("\n")


def _lines(tree: list[Module]) -> int:
    return sum(one.lines for one in tree)


def _of_gateway(tree: list[Module]) -> list[Module]:
    return [one for one in tree if one.is_of_gateway]


COUNTS: Mapping[str, tuple[str, Callable[[list[Module]], int]]] = {
    "house.lines": ("lines", _lines),
    "house.files": ("files", len),
    "house.one_definition": ("files", lambda tree: sum(one.definitions < 2 for one in tree)),
    "house.short": ("files", lambda tree: sum(one.lines < SHORT_LINES for one in tree)),
    "house.gateway_lines": ("lines", lambda tree: _lines(_of_gateway(tree))),
    "house.gateway_protocols": (
        "protocols",
        lambda tree: sum(one.protocols for one in _of_gateway(tree)),
    ),
}


def entries(before: list[Module], after: list[Module]) -> list[Entry]:
    """The figures of one tree beside those of another."""
    own = [one for one in after if not one.path.startswith(LATER)]
    later = _lines(after) - _lines(own)
    found = [_entry(name, *COUNTS[name], before, own) for name in COUNTS]
    found.append(
        Entry(
            id="house.later_lines",
            value=later,
            unit="lines",
            against=f"{_lines(own):,} others",
            ratio=later / _lines(own),
            ci95=(later / _lines(own),) * 2,
            goal="",
            met=None,
            note="of capabilities that were added since, in none of the other figures",
        )
    )
    return found


def _entry(
    name: str,
    unit: str,
    count: Callable[[list[Module]], int],
    before: list[Module],
    after: list[Module],
) -> Entry:
    was, now = count(before), count(after)
    goal, met = "fewer", now < was
    if name == "house.lines":
        goal, met = f"at least {FEWER_LINES:,} fewer", was - now >= FEWER_LINES
    elif name == "house.gateway_lines":
        goal, met = f"at most {GATEWAY_LINES:,}", now <= GATEWAY_LINES
    ratio = now / was if was else 0.0
    return Entry(
        id=name,
        value=now,
        unit=unit,
        against=f"{was:,} before",
        ratio=ratio,
        ci95=(ratio, ratio),
        goal=goal,
        met=met,
        note=f"{now - was:+,}; a count, so its interval is a point",
    )


def main() -> None:
    """Count, show, and keep if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.house")
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--after", default="HEAD", metavar="COMMIT")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT}")
    given = parser.parse_args()
    found = entries(modules(given.before), modules(given.after))
    show(found, Console())
    if given.keep:
        _keep(found, given.before, given.after)


def _keep(found: list[Entry], before: str, after: str) -> None:
    others, counted = [], {one.id for one in found}
    if RESULT.is_file():
        kept = json.loads(RESULT.read_text(encoding="utf-8"))["entries"]
        others = [one for one in kept if one["id"] not in counted]
    commits = {"before": _git("rev-parse", before), "after": _git("rev-parse", after)}
    run = run_record.circumstances(()) | commits
    run_record.save(run | {"entries": [*map(asdict, found), *others]}, RESULT)


if __name__ == "__main__":
    main()
