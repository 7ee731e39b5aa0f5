"""Decisions that need all rows: deduplication, contamination and splits.

Workers compute small keys per row (`row_keys`). One process collects them on disk,
partitioned by leading bits, and decides one partition at a time, so that memory is constant. A row
is identified by its ordinal among all rows of the first pass; decisions are arrays by ordinal on
disk. They do not depend on batching or on the order of arrival.
"""
