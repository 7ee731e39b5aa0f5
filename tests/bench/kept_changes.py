"""Kept figures beside those of an earlier commit: which were measured again, and how they moved."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

KEPT = "deploy/bench"
FIRST_RELEASE = "fb3fd89f692c78708c4ca73a827db70dc86f7b25"
"""0.1.0."""
Figures = Mapping[str, Mapping[str, Any]]
NEW, NOT_RENEWED = "new", "not renewed"
PAST, OF_PAST_COMMITS = "of past commits", "house."
"""Figures that compare two commits of the past: no later commit can renew them."""
IMPROVED, UNCHANGED, WORSE = "improved", "unchanged", "worse"
GENERATED = re.compile(
    r"^libs/contracts/|/(_sync|types\.py)|\.lock$|package-lock|\.json$|requirements|constraints\.txt$"
)
TESTS = re.compile(r"(^|/)tests/")
CODE = re.compile(r"/src/.*\.(py|tsx?|css)$")
LESS_IS_BETTER = ("ratio <=", "upper bound <=")
MORE_IS_BETTER = ("ratio >=",)


def figures_now() -> Figures:
    """Of the working tree, by id."""
    files = sorted(Path(KEPT).rglob("*.json"))
    return _by_id(path.read_text(encoding="utf-8") for path in files)


def figures_at(commit: str) -> Figures:
    """Of a commit, by id.

    Raises:
        SystemExit: This clone has no such commit.
    """
    _must_have(commit)
    names = _git("ls-tree", "-r", "--name-only", commit, KEPT).splitlines()
    return _by_id(_git("show", f"{commit}:{name}") for name in names if name.endswith(".json"))


def lines_since(commit: str) -> dict[str, tuple[int, int]]:
    """Lines added and removed since a commit, by `code`, `tests` and `other`.

    Generated ones are left out.

    Raises:
        SystemExit: This clone has no such commit.
    """
    _must_have(commit)
    found = dict.fromkeys(("code", "tests", "other"), (0, 0))
    for line in _git("diff", "--numstat", "--no-renames", commit).splitlines():
        added, removed, path = line.split("\t", 2)
        kind = kind_of(path)
        if added == "-" or kind is None:
            continue
        before = found[kind]
        found[kind] = (before[0] + int(added), before[1] + int(removed))
    return found


def kind_of(path: str) -> str | None:
    """What a file's lines count for; None where a program writes them."""
    if GENERATED.search(path):
        return None
    return "tests" if TESTS.search(path) else "code" if CODE.search(path) else "other"


def _must_have(commit: str) -> None:
    try:
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError as error:
        remedy = "fetch the whole history: git fetch --unshallow"
        raise SystemExit(f"commit {commit[:12]} is not in this clone; {remedy}") from error


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def _by_id(texts: Iterable[str]) -> Figures:
    files = [json.loads(text) for text in texts]
    return {
        one["id"]: {"commit": content["commit"], **one}
        for content in files
        for one in content.get("entries", ())
    }


def changes(before: Figures, now: Figures) -> dict[str, str]:
    """What became of each figure that there is now, by id."""
    found = {name: _change(before.get(name), one) for name, one in now.items()}
    return {
        name: PAST if one == NOT_RENEWED and name.startswith(OF_PAST_COMMITS) else one
        for name, one in found.items()
    }


def _change(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """A goal that is met or missed anew decides; else intervals of the ratio that do not touch."""
    if before is None:
        return NEW
    if before["commit"] == now["commit"]:
        return NOT_RENEWED
    if before["met"] != now["met"] and None not in (before["met"], now["met"]):
        return IMPROVED if now["met"] else WORSE
    sign = _sign(now["goal"])
    if sign and before["goal"] == now["goal"] and before["against"] == now["against"]:
        (low, high), (former_low, former_high) = now["ci95"], before["ci95"]
        if low > former_high or high < former_low:
            return IMPROVED if (low > former_high) == (sign > 0) else WORSE
    return UNCHANGED


def _sign(goal: str) -> int:
    if goal.startswith(MORE_IS_BETTER):
        return 1
    return -1 if goal.startswith(LESS_IS_BETTER) else 0
