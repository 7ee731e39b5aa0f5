"""How often one may ask again: a share of what succeeds, so that retries cannot be the load."""

MOST = 10
"""Retries that may be saved up."""
SUCCESSES = 10
"""That pay for one."""


class RetryBudget:
    """A bucket that each success fills by a tenth of a retry, full at the beginning."""

    def __init__(self) -> None:
        self._tenths = MOST * SUCCESSES

    def earn(self) -> None:
        """A request succeeded."""
        self._tenths = min(MOST * SUCCESSES, self._tenths + 1)

    def spend(self) -> bool:
        """Whether one may ask again; then it is paid for."""
        if self._tenths < SUCCESSES:
            return False
        self._tenths -= SUCCESSES
        return True
