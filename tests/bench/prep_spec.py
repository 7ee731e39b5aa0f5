"""What is asked of data-prep and of its rivals in prep.*: one set of limits, each in its words."""

from typing import Any

from tests.bench.prep_rows import Kind

LIMITS: dict[str, Any] = {
    "characters_min": 8,
    "characters_max": 100_000,
    "symbol_share_max": 0.25,
    # Data-juicer's special characters are spaces and digits too.
    "special_share_max": 0.5,
    "repetition_characters": 10,
    "repetition_max": 0.5,
    "near_threshold": 0.8,
    "permutations": 128,
    "shingle_characters": 5,
    # What data-juicer and datasketch choose for that threshold and so many permutations; datatrove
    # must be told.
    "bands": 9,
    "rows_per_band": 13,
}
"""Rivals get them as they are."""


def dataset_spec(kind: Kind) -> dict[str, Any]:
    """The same as a DatasetSpec."""
    return {
        "name": f"bench-{kind.name}",
        "file_id": "file-bench",
        "mapping": {"user_template": kind.template, "answer_template": "{label}"},
        "seed": 1,
        "clean": {"transforms": ["encoding", "unicode", "markup"]},
        "filter": {
            "thresholds": {
                "characters.min": LIMITS["characters_min"],
                "characters.max": LIMITS["characters_max"],
                "symbol_share.max": LIMITS["symbol_share_max"],
                "repeated_ngram_share.max": LIMITS["repetition_max"],
            }
        },
        "duplicates": {"near_threshold": LIMITS["near_threshold"]},
    }
