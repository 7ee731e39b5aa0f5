"""What forms cost and give, as a table of the documentation, from the kept figures.

python -m tests.bench.form_summary          write it into docs/reference/optimizer-builder-forms.md
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

KEPT, PAGE = Path("deploy/bench/forms.json"), Path("docs/reference/optimizer-builder-forms.md")
NONE = "–"
SHOWN = {
    "bf16": ("openvino", "bf16"),
    "openvino-int8": ("openvino", "`openvino-int8`"),
    "openvino-int4": ("openvino", "`openvino-int4`"),
    "openvino-int4.compensation": ("openvino", "the same, all layers int4; not offered"),
    "onnx-int8": ("onnx", "`onnx-int8`"),
    "onnx-int4": ("onnx", "`onnx-int4`"),
}
"""Engine and words of each form."""
RIVALS = {
    "optimum": "optimum-intel",
    "olive": "Olive",
    "llm_compressor": "llm-compressor, GPTQ",
    "modelopt": "ModelOpt",
}
Entries = Mapping[str, Mapping[str, Any]]


def with_tables(page: str, entries: Entries) -> str:
    """The page with the tables of these entries, each behind the comment that names it.

    Raises:
        ValueError: A comment is not there.
    """
    rates = ("tokens/s with 1", "8", "32 in flight")
    forms = ("Form", "MB", "of bf16", "points lost", "general text", *rates)
    page = _replaced(page, "forms", _table(forms, _forms(entries)))
    return _replaced(page, "rivals", _table(("Tool", "MB", "score", "minutes"), _rivals(entries)))


def _replaced(page: str, name: str, table: str) -> str:
    comment = f"<!-- {name}: written by tests.bench.form_summary -->"
    before, found, after = page.partition(f"{comment}\n")
    if not found:
        raise ValueError(f"the page has no {comment}")
    rest = re.sub(r"\A\n*(\|.*\n)*\n*", "", after)
    return f"{before}{found}\n{table}\n{rest}"


def _forms(entries: Entries) -> Iterator[tuple[str, ...]]:
    for form, (engine, words) in SHOWN.items():
        rates = [entries.get(f"forms.speed.{engine}.{form}.{count}") for count in (1, 8, 32)]
        size, score = entries.get(f"forms.bytes.{form}"), entries.get(f"forms.score.{form}")
        general = entries.get(f"forms.general.{form}")
        yield (
            words,
            NONE if size is None else f"{size['value']:.0f}",
            NONE if size is None else f"{size['ratio']:.3f}",
            NONE if score is None else _lost(score),
            NONE if general is None else f"{general['ratio']:.3f}",
            *(NONE if rate is None else f"{rate['value']:.0f}" for rate in rates),
        )


def _lost(score: Mapping[str, Any]) -> str:
    low, high = _found(r"lost (\S+) to (\S+) points", score["note"])
    return f"{score['value']:.1f} ({float(low):.1f} to {float(high):.1f})"


def _rivals(entries: Entries) -> Iterator[tuple[str, ...]]:
    ours = {name: entries[f"forms.{name}.openvino-int4"] for name in ("bytes", "score")}
    [share] = _found(r"(\S+) beside", ours["score"]["note"])
    yield "Modelmill", f"{ours['bytes']['value']:.0f}", f"{share} %", NONE
    for name, words in RIVALS.items():
        if (size := entries.get(f"forms.rival.{name}.bytes")) is None:
            continue
        [megabytes] = _found(r": (\S+) MB", size["against"])
        [score] = _found(r": (\S+) %", entries[f"forms.rival.{name}.score"]["against"])
        [minutes] = _found(r"(\S+) minutes to make", size["note"])
        yield words, f"{float(megabytes):.0f}", f"{score} %", minutes


def _found(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"{pattern!r} is not in {text!r}")
    return found.groups()


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def kept_entries_by_id() -> Entries:
    """Of the working tree."""
    content = json.loads(KEPT.read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in content["entries"]}


def main() -> int:
    """Write the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(text, kept_entries_by_id()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
