"""Records by key: one subject each, whose last message is the record, or whose newest are kept."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel
from modelmill_bus.subjects import TOKEN, route

Record = TypeVar("Record", bound=Message)


class KeyedStore(ReadModel, Generic[Record]):
    """Records of tenants, found in memory and changed by compare-and-set on the bus.

    A record has a tenant, and says itself that it is deleted, if records of its kind can be.

    Args:
        family: Their subjects without the key, such as "key.state".
        key: The field that holds the key.
        noun: What one is called.
        listed_at: The route that lists them.
        beside: Other subjects of the same stream that are followed, too; a subclass applies them.
    """

    def __init__(
        self,
        bus: Bus,
        family: str,
        *,
        key: str,
        noun: str,
        listed_at: str,
        beside: Sequence[str] = (),
    ) -> None:
        super().__init__(bus, (f"{family}.*", *beside))
        self._family = family
        self._key = key
        self._noun = noun
        self._listed_at = listed_at
        self._records: dict[str, Record] = {}

    def find(self, key: str) -> Record | None:
        """The record of that key, whoever owns it."""
        return self._records.get(key)

    def get(self, tenant: str, key: str) -> Record:
        """One of the tenant's.

        Raises:
            NotFoundError: None, deleted, or another tenant's.
        """
        found = self._records.get(key)
        if found is None or _owner(found) != tenant:
            raise self._missing(tenant, key)
        return found

    def tenants(self) -> set[str]:
        """Owners of any."""
        return {_owner(each) for each in self._records.values()}

    def list(self, tenant: str) -> list[Record]:
        """The tenant's, newest first."""
        mine = [each for each in self._records.values() if _owner(each) == tenant]
        return sorted(mine, key=_made_at, reverse=True)

    async def newest(self, tenant: str, key: str) -> Stored[Record]:
        """As the bus has it, to be changed and given to `write`.

        Raises:
            NotFoundError: None, deleted, or another tenant's.
            UnavailableError: The bus is away.
        """
        # What cannot be a key was never given out; it must not become a subject.
        if TOKEN.fullmatch(key):
            subject = f"{self._family}.{key}"
            body: type[Any] = route(subject).body
            stored: Stored[Record] | None = await self._bus.last(subject, body)
            if stored and _owner(stored.body) == tenant and not _is_deleted(stored.body):
                return stored
        raise self._missing(tenant, key)

    async def write(self, record: Record, *, expected: int) -> int:
        """Store the record if the last one has this sequence, 0 for none yet; its own sequence.

        Raises:
            StaleWriteError: Somebody else wrote first.
            UnavailableError: The bus is away; it may have been written, or may be later.
        """
        return await self._bus.publish(
            f"{self._family}.{getattr(record, self._key)}",
            record,
            expect_last=expected,
            kept_seconds=self._kept_seconds(record),
        )

    def _kept_seconds(self, record: Record) -> float | None:
        """How long the bus keeps the record; None for ever."""
        return None

    def _missing(self, tenant: str, key: str) -> NotFoundError:
        known: Iterable[str] = (getattr(each, self._key) for each in self.list(tenant))
        return no_such(self._noun, key, self._listed_at, known)

    def _apply(self, stored: Stored[Any]) -> None:
        key = getattr(stored.body, self._key)
        if _is_deleted(stored.body):
            self._records.pop(key, None)
        else:
            self._records[key] = stored.body


class RecentLog(ReadModel, Generic[Record]):
    """The newest records of each key, of a stream that has more of them.

    Args:
        family: Their subjects without the key, such as "change.recorded".
        kept: Records of one key.
        on_demand: As of `ReadModel`.
    """

    def __init__(self, bus: Bus, family: str, *, kept: int, on_demand: bool = False) -> None:
        super().__init__(bus, (f"{family}.*",), on_demand=on_demand)
        self._kept = kept
        self._logs: dict[str, deque[Stored[Record]]] = {}

    def list(self, key: str) -> list[Stored[Record]]:
        """Those of the key, newest first."""
        return list(self._logs.get(key, ()))[::-1]

    def _apply(self, stored: Stored[Any]) -> None:
        # The subject says whose it is: that is what the broker's permissions guard.
        key = stored.subject.rpartition(".")[2]
        self._logs.setdefault(key, deque(maxlen=self._kept)).append(stored)


def _owner(record: Any) -> str:
    return str(record.tenant)


def _made_at(record: Any) -> int:
    return int(record.created_at.ToNanoseconds())


def _is_deleted(record: Any) -> bool:
    return bool(getattr(record, "deleted", False))
