"""Reserve before, count during, settle after: what limited callers may use, by leases.

A request is reserved out of a lease that this process has of each budget that limits it; only when
a lease is dry does it wait for the bus.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modelmill_bus.errors import StaleWriteError
from modelmill_service_kit.errors import NotFoundError, PermissionDeniedError, UnavailableError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import QuotaUnknownError
from modelmill_gateway.domain.ledger.account import Account, Outcome, Terms, Verdict
from modelmill_gateway.domain.ledger.budget import Amounts, Budget, Price, Prices, tenant_budget
from modelmill_gateway.domain.ledger.meter import NAMES, Meter, refusal
from modelmill_gateway.domain.ledger.plan import plan, release_lease
from modelmill_gateway.domain.ledger.slots import BUDGETS_OF_A_REQUEST, NoRoomError, Slots
from modelmill_gateway.metrics import (
    QUOTA_BOUNDS_BROKEN,
    QUOTA_LEASES,
    QUOTA_REFUSED,
    QUOTA_REQUESTS,
    QUOTA_SETTLED,
    QUOTA_WAITS,
)
from modelmill_gateway.routing.find_model import FindModel
from modelmill_gateway.spending.budget_book import BudgetBook

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2
LOOK_SECONDS = 0.25
"""How often accounts are looked at that nothing else reminds of: leases run out, rates fade."""


@dataclass(frozen=True)
class QuotaTerms:
    """Terms of leases, and how long a request may wait for the bus."""

    leases: Terms
    wait_seconds: float = 1.0


class Quotas:
    """Quota enforcement: reservations out of the leases that this process has of each budget.

    Args:
        clock: the time of day in milliseconds.
    """

    def __init__(
        self,
        book: BudgetBook,
        holder_id: str,
        slots: Slots,
        terms: QuotaTerms,
        clock: Callable[[], int],
    ) -> None:
        self._book = book
        self._holder_id = holder_id
        self._slots = slots
        self._terms = terms
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._of_keys: dict[str, Account] = {}
        self._of_tenants: dict[str, Account] = {}
        self._active: set[str] = set()
        self._tending: dict[str, asyncio.Task[None]] = {}
        self._leaves = False
        for budget, sequence in book.known():
            self._update(budget, sequence)
        book.on_change = self._update

    def of(self, caller: Caller) -> list[Account]:
        """What limits the caller: budgets of its key, of those that made it, and of the tenant.

        From below upwards, the order in which they are held: who is refused above has held only
        what its own key has below, and takes nothing from the keys beside it. Mostly nothing.

        Raises:
            QuotaUnknownError: a key of them has limits that this process has not heard of yet.
        """
        if any(key_id not in self._accounts for key_id in caller.limited):
            raise QuotaUnknownError("the limits of the key are not known yet. Retry")
        line = (caller.key_id, *caller.makers) if caller.key_id else ()
        accounts = [self._of_keys[key_id] for key_id in line if key_id in self._of_keys]
        if account := self._of_tenants.get(caller.tenant):
            accounts.append(account)
        return accounts

    @asynccontextmanager
    async def admit(
        self, accounts: Sequence[Account], need: Amounts, prompt_bound: int, price: Price
    ) -> AsyncIterator[Meter]:
        """Hold what the request needs at most until the block ends, and settle what it used.

        Raises:
            QuotaExceededError: a limit would be exceeded.
            QuotaUnknownError: whether one would be was not to be found out in time.
            PermissionDeniedError: the key is deeper than keys are made.
        """
        QUOTA_REQUESTS.inc()
        if len(accounts) > BUDGETS_OF_A_REQUEST:
            raise PermissionDeniedError(
                "more keys made this one than a request is charged to. Let one above make another"
            )
        await self._hold(accounts, need)
        try:
            budgets = [account.budget.budget_id for account in accounts]
            slot = self._slots.begin(budgets, prompt_bound, price)
        except NoRoomError as error:
            self._release(accounts, need)
            QUOTA_REFUSED.labels("unknown").inc()
            raise QuotaUnknownError("too many limited requests at a time") from error
        for account in accounts:
            account.begin(need)
        meter = Meter([*accounts], need, slot, self._clock)
        try:
            yield meter
        finally:
            tokens = meter.settle()
            QUOTA_SETTLED.inc(tokens)
            if tokens > need.tokens:
                QUOTA_BOUNDS_BROKEN.inc()

    async def run(self) -> None:
        """Look after leases until cancelled."""
        while True:
            for budget_id in [*self._active]:
                self._tend(self._accounts[budget_id])
            QUOTA_LEASES.set(len(self._active))
            await asyncio.sleep(LOOK_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Give back what this process has and does not use, as far as the bus takes it in time."""
        self._leaves = True
        for task in [*self._tending.values()]:
            task.cancel()
        await asyncio.gather(*self._tending.values(), return_exceptions=True)
        leaving = [self._give_back(self._accounts[budget_id]) for budget_id in self._active]
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*leaving)
        except TimeoutError:
            log.warning("leases were not given back in time; they are when this process returns")

    def _update(self, budget: Budget, sequence: int) -> None:
        account = self._accounts.get(budget.budget_id)
        if account is None:
            settled = self._slots.settled(budget.budget_id)
            leases = self._terms.leases
            account = Account(self._holder_id, budget, settled, leases)
            self._accounts[budget.budget_id] = account
        account.update(budget, sequence, self._clock())
        self._index(budget, account)
        if account.waiters or account.owes:
            self._active.add(budget.budget_id)
            self._tend(account)

    def _index(self, budget: Budget, account: Account) -> None:
        is_tenants = budget.budget_id == tenant_budget(budget.tenant)
        index, name = (
            (self._of_tenants, budget.tenant) if is_tenants else (self._of_keys, budget.budget_id)
        )
        if budget.limits.limited:
            index[name] = account
        else:
            index.pop(name, None)

    async def _hold(self, accounts: Sequence[Account], need: Amounts) -> None:
        held: list[Account] = []
        has_waited = False
        try:
            for account in accounts:
                verdict = account.hold(need, self._clock())
                if verdict.outcome is Outcome.WAITING:
                    has_waited = True
                    verdict = await self._wait(account, need)
                if verdict.outcome is not Outcome.HELD:
                    QUOTA_REFUSED.labels(NAMES[verdict.limit]).inc()
                    raise refusal(accounts, account, verdict, self._clock())
                held.append(account)
                if account.is_low:
                    self._tend(account)
        except BaseException:
            self._release(held, need)
            raise
        finally:
            if has_waited:
                QUOTA_WAITS.inc()

    async def _wait(self, account: Account, need: Amounts) -> Verdict:
        """Stand in line until the record tells."""
        told: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        waiter = account.wait(need, lambda verdict: _tell(told, verdict))
        self._active.add(account.budget.budget_id)
        self._tend(account)
        try:
            async with asyncio.timeout(self._terms.wait_seconds):
                return await asyncio.shield(told)
        except BaseException as error:
            account.leave(waiter)
            if isinstance(error, TimeoutError) and told.done():
                return told.result()  # it came with the end of the time
            if told.done() and told.result().outcome is Outcome.HELD:
                account.release(need, self._clock())
            if not isinstance(error, TimeoutError):
                raise
            QUOTA_REFUSED.labels("unknown").inc()
            raise QuotaUnknownError("the remaining quota is not known. Retry") from error

    def _release(self, accounts: Iterable[Account], need: Amounts) -> None:
        for account in accounts:
            account.release(need, self._clock())

    def _tend(self, account: Account) -> None:
        """Write what is to be written of this budget, unless that is being done."""
        budget_id = account.budget.budget_id
        if budget_id in self._tending or self._leaves:
            return
        if plan(account, self._clock()) is None:
            is_in_use = account.waiters or any(account.held) or account.owes
            if account.is_erased or not is_in_use:
                self._active.discard(budget_id)
            return
        self._active.add(budget_id)
        task = asyncio.create_task(self._write_all(account))
        self._tending[budget_id] = task
        task.add_done_callback(lambda _: self._tending.pop(budget_id, None))

    async def _write_all(self, account: Account) -> None:
        while (write := plan(account, self._clock())) is not None:
            account.sent(write)
            try:
                sequence = await self._book.write(write.body, write.expected)
            except StaleWriteError:
                account.stale(write)
                await self._read(account)
            except UnavailableError:
                # It may have got there, or still get there: the account reckons with both.
                await asyncio.sleep(RETRY_SECONDS)
                await self._read(account)
            else:
                account.update(write.body, sequence, self._clock())

    async def _read(self, account: Account) -> None:
        try:
            newest = await self._book.newest(account.budget.budget_id)
        except UnavailableError:
            await asyncio.sleep(RETRY_SECONDS)
            return
        if newest is not None:
            account.update(*newest, self._clock())
        else:
            account.erased()

    async def _give_back(self, account: Account) -> None:
        while (write := release_lease(account, self._clock())) is not None:
            account.sent(write)
            try:
                sequence = await self._book.write(write.body, write.expected)
            except (StaleWriteError, UnavailableError):
                account.stale(write)
                await self._read(account)
            else:
                account.update(write.body, sequence, self._clock())


def _tell(told: asyncio.Future[Verdict], verdict: Verdict) -> None:
    if not told.done():
        told.set_result(verdict)


@dataclass(frozen=True)
class PriceOfModel:
    """Price lookup. The model's own name comes first: an alias for a dear model is no cheaper."""

    prices: Prices
    find_model: FindModel

    def __call__(self, tenant: str, name: str) -> Price:
        """The price; that of all others for a name without a model."""
        if not self.prices.are_any:
            return Price()
        return self.prices.of(*self._names(tenant, name))

    def _names(self, tenant: str, name: str) -> Sequence[str]:
        try:
            return (self.find_model.known_version(tenant, name).name, name)
        except NotFoundError:
            return (name,)
