"""How far a reader has got, and whoever waits for it to get further."""

import asyncio
import heapq
from itertools import count


class Watermark:
    """A number that only grows; moving it costs nothing while nobody waits."""

    def __init__(self) -> None:
        self.value = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def move(self, value: int) -> None:
        """Go up to `value` and wake whoever waits for no more than that."""
        self.value = max(self.value, value)
        while self._waiting and self._waiting[0][0] <= self.value:
            _, _, reached = heapq.heappop(self._waiting)
            if not reached.done():
                reached.set_result(None)

    async def reach(self, value: int, timeout: float) -> None:
        """Return once the mark is at `value`.

        Raises:
            TimeoutError: not within `timeout` seconds.
        """
        if self.value >= value:
            return
        reached = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (value, next(self._order), reached))
        async with asyncio.timeout(timeout):
            await reached
