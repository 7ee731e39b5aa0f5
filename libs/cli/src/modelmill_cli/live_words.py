"""How far that is what somebody waits for, asked again and again: nothing tells it by itself."""

import threading
from collections.abc import Callable

LOOK_SECONDS = 5.0


class LiveWords:
    """Tells the words now and then, in a thread, while somebody waits and until the block ends.

    Args:
        ask: the words; empty when there is nothing to wait for, or nobody answers.
        tell: shows them; never called after `waits(False)`.
    """

    def __init__(
        self, ask: Callable[[], str], tell: Callable[[str], None], seconds: float = LOOK_SECONDS
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._seconds = seconds
        self._waits = threading.Event()
        self._waits.set()
        self._ended = threading.Event()
        self._telling = threading.Lock()

    def __enter__(self) -> "LiveWords":
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.waits(False)
        self._ended.set()
        self._waits.set()  # so that the thread sees that it has ended

    def waits(self, waits: bool) -> None:
        """Say whether somebody still waits."""
        with self._telling:
            if waits:
                self._waits.set()
            else:
                self._waits.clear()

    def _run(self) -> None:
        while self._waits.wait() and not self._ended.is_set():
            words = self._ask()
            with self._telling:
                if self._waits.is_set() and not self._ended.is_set():
                    self._tell(words)
            self._ended.wait(self._seconds)
