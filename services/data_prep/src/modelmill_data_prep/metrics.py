"""Prometheus metrics of data-prep."""

from collections.abc import Mapping

from prometheus_client import Counter

ROWS = Counter("modelmill_rows", "Rows of files that became datasets, by their fate.", ["outcome"])
OUTCOMES = {"rows_kept": "kept", "rows_quarantined": "quarantined", "rows_duplicate": "duplicate"}


def count_rows(counts: Mapping[str, int]) -> None:
    """Count the rows of a committed dataset."""
    for name, outcome in OUTCOMES.items():
        ROWS.labels(outcome=outcome).inc(counts.get(name, 0))
