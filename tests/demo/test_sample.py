"""The committed rows are what their README says, and the sampler makes such rows again."""

import json
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "wordnet-kinds"
COLUMNS = ("word", "gloss", "label")


def usable(line: str) -> dict[str, str] | None:
    try:
        row: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    return row if all(isinstance(row.get(c), str) and row[c].strip() for c in COLUMNS) else None


def folded(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(
        " ".join(unicodedata.normalize("NFKC", row[column]).casefold().split())
        for column in COLUMNS
    )


def rows_of(path: Path) -> tuple[list[dict[str, str]], int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [row for line in lines if (row := usable(line))]
    return rows, len(lines) - len(rows)


def test_the_committed_rows_have_the_planted_faults_and_every_label() -> None:
    rows, bad = rows_of(EXAMPLE / "wordnet_nouns.jsonl")
    repeats = Counter(map(folded, rows))
    exact = Counter(json.dumps(row) for row in rows)
    labels = Counter(label for _, _, label in repeats)

    assert bad == 12
    assert len(rows) - len(repeats) == 30
    assert len(repeats) == 1320
    assert len(rows) - len(exact) == 10  # the others differ by space, case, width or form
    assert len(labels) == 25
    assert min(labels.values()) >= 14


def test_a_repeat_stands_behind_its_original_so_that_the_original_is_kept() -> None:
    rows, _ = rows_of(EXAMPLE / "wordnet_nouns.jsonl")
    first: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        first.setdefault(folded(row), row)
    assert all(row["gloss"].isascii() and "  " not in row["gloss"] for row in first.values())


def test_anyone_with_such_rows_makes_the_same_sample_by_the_same_seed(tmp_path: Path) -> None:
    source = tmp_path / "nouns.jsonl"
    rows = [
        {"word": f"word {n}", "gloss": f"a find of kind {n % 7} number {n}", "label": f"k{n % 7}"}
        for n in range(400)
    ]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def sample(name: str, seed: int, count: int = 150) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE / "make_rows.py"), str(source), str(tmp_path / name)]
        options = ["--rows", str(count), "--seed", str(seed)]
        return subprocess.run([*command, *options], capture_output=True, text=True)

    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert sample(name, seed).returncode == 0
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    drawn, bad = rows_of(tmp_path / "one")
    assert (len(drawn), bad) == (180, 12)
    assert sample("four", 7, count=401).returncode != 0
