"""A row of the corpus, as it is written and read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from modelmill_guard.bundle import Bundle, CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy

FOLDER = Path(__file__).parent
FILE, POLICY_FILE = FOLDER / "corpus.jsonl", FOLDER / "policy.yaml"


@dataclass(frozen=True)
class Row:
    """A text, and what should be found in it."""

    text: str
    kind: str
    """How the word is disguised; `class` in the file."""
    language: str
    rule: str | None
    """The rule that forbids the word; None for a text that no rule may touch."""
    start: int
    end: int
    """Where the word stands, as it is written there, in characters; both 0 without one."""
    word: str
    """The word without its disguise; empty without one."""


def written(rows: Iterable[Row]) -> str:
    """JSON lines."""
    return "".join(f"{json.dumps(_object(row), ensure_ascii=True)}\n" for row in rows)


def _object(row: Row) -> dict[str, object]:
    fields = asdict(row)
    return {"class" if name == "kind" else name: value for name, value in fields.items()}


def _read() -> Iterator[Row]:
    for line in FILE.read_text("utf-8").splitlines():
        fields = json.loads(line)
        yield Row(kind=fields.pop("class"), **fields)


@cache
def corpus() -> tuple[Row, ...]:
    """Every row of the file."""
    return tuple(_read())


@cache
def bundle() -> Bundle:
    """The policy that the corpus is about."""
    return compile_policy(parse_policy({"policy.yaml": POLICY_FILE.read_text("utf-8")}))


@cache
def policy() -> CompiledPolicy:
    """The same, ready to judge."""
    return CompiledPolicy.from_bundle(bundle().content, bundle().digest)
