"""Slices of an evaluation: which group a row belongs to."""

import re
from collections import Counter
from collections.abc import Sequence

LENGTH, SCRIPT, ANSWER = "length", "script", "answer"
DEFAULT_EDGES = (200, 1_000)
"""Characters of a prompt."""
MAX_GROUPS = 50
OTHERS = "(others)"
"""The groups beyond the largest."""
NONE = "(none)"
MAX_LABEL_CHARACTERS = 64

_SCRIPTS = {
    "kana": "\u3040-\u30ff\u31f0-\u31ff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f",
    "hebrew": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_PATTERNS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
KANA_SHARE = 0.1
"""Of kana beside Han, from which a text is Japanese."""


def length_label(text: str, edges: Sequence[int] = DEFAULT_EDGES) -> str:
    """ "0-200" and so on: the first of the edges that the text's characters do not exceed."""
    low = 0
    for edge in edges:
        if len(text) <= edge:
            return f"{low}-{edge}"
        low = edge + 1
    return f"{low}-"


def script_label(text: str) -> str:
    """The script of most of its letters; "kana" for Japanese, "other" where none is known."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _PATTERNS.items()}
    if counts["kana"] >= KANA_SHARE * (counts["han"] + counts["kana"]) > 0:
        counts["kana"] += counts.pop("han")
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] else "other"


def value_label(value: object) -> str:
    """A column's value as a group's name."""
    if value is None or isinstance(value, list | dict):
        return NONE
    written = str(value).lower() if isinstance(value, bool) else str(value)
    # Half a character cannot be written to any file.
    whole = written[:MAX_LABEL_CHARACTERS].encode(errors="replace").decode()
    return whole or NONE


def grouped(labels: Sequence[str]) -> dict[str, list[int]]:
    """Places of each group's rows, the largest group first; the smallest beyond 50 are one."""
    sizes = Counter(labels)
    ranked = sorted(sizes, key=lambda label: (-sizes[label], label))
    kept = set(ranked[: MAX_GROUPS if len(ranked) <= MAX_GROUPS else MAX_GROUPS - 1])
    groups: dict[str, list[int]] = {label: [] for label in ranked if label in kept}
    for place, label in enumerate(labels):
        groups.setdefault(label if label in kept else OTHERS, []).append(place)
    return groups
