"""Adapters of which no build can be made."""


class NotMergeableError(ValueError):
    """The adapter does not change weights; says what it does instead."""
