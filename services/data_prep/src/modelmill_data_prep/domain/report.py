"""Builds the dataset report (`report.json`)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelmill_data_prep.domain.duplicates.clusters import Cluster
from modelmill_data_prep.domain.row_decisions import SPLITS
from modelmill_data_prep.domain.tally import Tally


def report_of(
    tally: Tally,
    counts: Mapping[str, int],
    clusters: Sequence[Cluster],
    contaminated: Mapping[str, int],
    merkle_root: str,
    models: Sequence[Mapping[str, Any]],
    source: Mapping[str, str],
    failure: str = "",
) -> dict[str, Any]:
    """The report, with the failure if no dataset was made; deterministic."""
    return {
        "failure": failure or None,
        "counts": dict(counts),
        "merkle_root": merkle_root,
        "source": dict(source),
        "stages": {name: asdict(stage) for name, stage in tally.stages.items()},
        "rules": _by_outcome(tally.rules),
        "reasons": _most_common(tally.reasons),
        "samples": {rule: [asdict(one) for one in rows] for rule, rows in tally.samples.items()},
        "entities": _most_common(tally.entities),
        "languages": _most_common(tally.languages),
        "characters": {"histogram": _histogram(tally.character_buckets)},
        "tokens": {
            "total": tally.tokens,
            "mean": round(tally.tokens / max(tally.rows_kept, 1), 2),
            "histogram": _histogram(tally.token_buckets),
        },
        "sentences": {
            "total": tally.sentences,
            "mean": round(tally.sentences / max(tally.rows_kept, 1), 2),
        },
        "difficulty": dict(tally.difficulty),
        "turns_not_learned": tally.turns_not_learned,
        "choices": None if tally.answers is None else _most_common(tally.answers),
        "duplicates": [asdict(cluster) for cluster in clusters],
        "contaminated": dict(contaminated),
        "models": list(models),
    }


def failed_report_of(tally: Tally, failure: str, source: Mapping[str, str]) -> dict[str, Any]:
    """Report of a failed job, with the statistics gathered so far."""
    made = dict.fromkeys(("rows_kept", "rows_made", *SPLITS), 0)
    counts = {"rows_in": tally.rows_in, **tally.taken_out(), **made}
    return report_of(tally, counts, (), {}, "", (), source, failure)


def _by_outcome(rules: Mapping[str, int]) -> dict[str, dict[str, int]]:
    outcomes: dict[str, dict[str, int]] = {}
    for key, rows in sorted(rules.items(), key=_largest_first):
        outcome, _, rule = key.partition(" ")
        outcomes.setdefault(outcome, {})[rule] = rows
    return outcomes


def _most_common(counter: Counter[str]) -> dict[str, int]:
    # Ties by name, so that the order does not depend on insertion.
    return dict(sorted(counter.items(), key=_largest_first))


def _largest_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _histogram(buckets: Mapping[int, int]) -> dict[str, int]:
    return {_bucket_name(bucket): rows for bucket, rows in sorted(buckets.items())}


def _bucket_name(bits: int) -> str:
    """Name of an exponential bucket: 0-1, 2, 3-4, 5-8, 9-16, ..."""
    low, high = (0, 1) if bits == 0 else (2 ** (bits - 1) + 1, 2**bits)
    return str(high) if low == high else f"{low}-{high}"
