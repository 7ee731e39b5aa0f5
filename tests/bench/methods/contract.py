"""What the benchmark of methods counts on, held by the fake gateway and by a real stack."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from modelmill_client import Modelmill

ORDERS = ("/v1/datasets", "/v1/fine_tuning/jobs", "/v1/evaluations")


class CutOff(Exception):  # noqa: N818  # not an error: what a kill does
    """The bench ends here, in the moment after its order was accepted."""


class Observed:
    """A client whose orders are counted, and which may end the bench.

    Args:
        client: Of a real gateway, or of its fake.
        cut_after: Orders after which the bench is cut off; 0 for none.
    """

    def __init__(self, client: Modelmill, cut_after: int = 0) -> None:
        self._client = client
        self._cut_after = cut_after
        self.orders: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Hand it on, and perhaps end."""
        answer = self._client.request(method, path, **arguments)
        if path in ORDERS:
            self.orders.append(path)
            if len(self.orders) == self._cut_after:
                raise CutOff
        return answer


def nothing_is_done_twice(
    run: Callable[[Any], Any], client: Modelmill, jobs: Mapping[str, int]
) -> Any:
    """Cut the bench off after each of its orders, let it go on each time, and count its jobs.

    Args:
        run: The bench with a client, always with the same folder to keep; returns what it found.
        jobs: How many it needs of each kind.

    Returns:
        What the bench found.
    """
    before, cuts = _jobs(client), 0
    while True:
        # An order that was cut off is given again; the next one is cut off in its turn.
        try:
            found = run(Observed(client, cut_after=2 if cuts else 1))
        except CutOff:
            cuts += 1
            continue
        break
    assert cuts == sum(jobs.values())
    made = _jobs(client) - before
    assert {kind: made[kind] for kind in jobs} == dict(jobs)

    again = Observed(client)
    assert run(again) == found
    assert again.orders == []
    return found


def _jobs(client: Modelmill) -> Counter[str]:
    return Counter(job["kind"] for job in client.jobs.list())
