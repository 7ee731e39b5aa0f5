"""Error for adapters that cannot be merged."""


class NotMergeableError(ValueError):
    """The adapter does not change weights; the message says what it is."""
