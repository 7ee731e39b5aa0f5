"""Holders of one budget around one record, with crashes and writes of unknown fate; no bus."""

from dataclasses import dataclass, field

from modelmill_gateway.domain.ledger.account import Account, Outcome, Terms, Verdict, Waiter, Write
from modelmill_gateway.domain.ledger.budget import (
    PARALLEL,
    RATES,
    Amounts,
    Budget,
    Limits,
    Settled,
    minus,
    plus,
)
from modelmill_gateway.domain.ledger.plan import plan

TERMS = Terms(ahead=2)
PRICE = 3


@dataclass(eq=False)
class Request:
    """One request; `always_fitted` is whether it fitted at every moment since it came."""

    need: Amounts
    always_fitted: bool = True
    verdict: Verdict | None = None
    waiter: Waiter | None = None

    def tell(self, verdict: Verdict) -> None:
        self.verdict = verdict


@dataclass
class Holder:
    """A process that may die; `settled` is what its journal keeps."""

    name: str
    settled: Settled = field(default_factory=Settled)
    account: Account | None = None
    open: list[Request] = field(default_factory=list)
    waiting: list[Request] = field(default_factory=list)


class World:
    """The record, its holders, and the truth about both."""

    def __init__(self, limits: Limits, holders: int) -> None:
        self.now_ms = 1_000_000
        self.limits = limits
        self.record = Budget("key-1", "acme", limits, faded_at_ms=self.now_ms)
        self.sequence = 1
        self.holders = [Holder(f"holder-{number}") for number in range(holders)]
        self.on_their_way: list[Write] = []
        self.truly_settled = Amounts()
        self.refused = 0
        self.cut_off = False
        """A process that was alive did not tell for so long that its parallel requests count no
        more: the one thing that may exceed its limit."""
        for holder in self.holders:
            self.start(holder)

    def start(self, holder: Holder) -> None:
        """The process comes up, with what its journal says."""
        holder.account = Account(holder.name, self.record, holder.settled, TERMS)
        self.deliver(holder)

    def crash(self, holder: Holder, share: float) -> None:
        """The process dies; its journal knows how much each open request had used."""
        tokens = sum(int(request.need.tokens * share) for request in holder.open)
        count = Settled(holder.settled.requests, holder.settled.tokens + tokens)
        holder.settled = count._replace(micros=count.tokens * PRICE)
        self.truly_settled = plus(self.truly_settled, _used(tokens))
        holder.account, holder.open, holder.waiting = None, [], []

    def ask(self, holder: Holder, need: Amounts) -> None:
        """A request comes to the holder."""
        account = holder.account
        assert account is not None
        request = Request(need)
        self.look_at(request)
        verdict = account.hold(need, self.now_ms)
        if verdict.outcome is Outcome.WAITING:
            request.waiter = account.wait(need, request.tell)
            holder.waiting.append(request)
        else:
            request.verdict = verdict
            self.hear(holder, request)

    def hear(self, holder: Holder, request: Request) -> None:
        """What the request heard is judged."""
        assert request.verdict is not None
        assert holder.account is not None
        limit = request.verdict.limit
        if request.verdict.outcome is Outcome.HELD:
            holder.account.begin(request.need)
            holder.settled = holder.settled._replace(requests=holder.account.settled.requests)
            holder.open.append(request)
        else:
            self.refused += 1
            if limit not in RATES:
                assert not request.always_fitted, f"refused by {limit}, and it always fitted"

    def finish(self, holder: Holder, request: Request, share: float) -> None:
        """The request ends, having used a share of what it held."""
        assert holder.account is not None
        tokens = int(request.need.tokens * share)
        holder.open.remove(request)
        self.truly_settled = plus(self.truly_settled, _used(tokens))
        count = holder.settled.tokens + tokens
        holder.settled = Settled(holder.settled.requests, count, count * PRICE)
        holder.account.settle(request.need, tokens, tokens * PRICE, self.now_ms)

    def write(self, holder: Holder, fate: str) -> bool:
        """Let the holder write what it plans; whether it planned anything."""
        account = holder.account
        assert account is not None
        write = plan(account, self.now_ms)
        if write is None:
            return False
        account.sent(write)
        if fate == "lands":
            if self.land(write):
                account.update(self.record, self.sequence, self.now_ms)
            else:
                account.stale(write)
                self.deliver(holder)
        elif fate == "lands in silence":
            self.land(write)
        elif fate == "lands later":
            self.on_their_way.append(write)
        return True

    def land(self, write: Write) -> bool:
        """Compare and set."""
        if write.expected != self.sequence:
            return False
        self.record, self.sequence = write.body, self.sequence + 1
        for holder in self.holders:
            row = self.record.lease_of(holder.name)
            self.cut_off |= row is not None and row.closed and bool(holder.open)
        return True

    def deliver(self, holder: Holder) -> None:
        """The holder hears of the record."""
        assert holder.account is not None
        holder.account.update(self.record, self.sequence, self.now_ms)

    def used(self) -> Amounts:
        """What is settled and held in truth."""
        held = self.truly_settled
        for holder in self.holders:
            for request in holder.open:
                held = plus(held, request.need)
        return held

    def charged(self) -> Amounts:
        """What counts as used although nobody used it: the rest of closed leases."""
        rest = Amounts()
        for holder in self.holders:
            row = self.record.lease_of(holder.name)
            if row is not None and row.closed:
                used = minus(holder.settled.amounts, row.settled.amounts)
                for request in holder.open:
                    used = plus(used, request.need)
                rest = plus(rest, map(lambda it: max(0, it), minus(row.leased, used)))
        return rest

    def look_at(self, request: Request) -> None:
        """Note whether the request fits just now."""
        used = plus(self.used(), self.charged())
        left = minus(minus(self.limits.caps, used), request.need)
        strict = [left[i] for i, cap in enumerate(self.limits.caps) if cap and i not in RATES]
        request.always_fitted &= all(amount >= 0 for amount in strict)

    def look(self) -> None:
        """What must hold at every moment, and what has been told to those who wait."""
        used, caps = self.used(), self.limits.caps
        for index, cap in enumerate(caps):
            if cap and index not in RATES and not (index == PARALLEL and self.cut_off):
                assert used[index] <= cap, f"limit {index} of {cap}: {used[index]} used"
        for holder in self.holders:
            for request in [*holder.waiting]:
                self.look_at(request)
                if request.verdict is not None:
                    holder.waiting.remove(request)
                    self.hear(holder, request)

    def settle_down(self) -> None:
        """Everybody comes back, ends what is open, and tells; then nothing is leaked."""
        for holder in self.holders:
            if holder.account is None:
                self.start(holder)
            assert holder.account is not None
            for request in [*holder.waiting]:
                assert request.waiter is not None
                holder.account.leave(request.waiter)
            holder.waiting.clear()
            for request in [*holder.open]:
                self.finish(holder, request, 0.5)
        for _ in range(40):
            self.now_ms += TERMS.lease_ms // 2 + 1
            for holder in self.holders:
                self.deliver(holder)
                self.write(holder, "lands")
        assert self.record.leased == Amounts()
        assert self.record.spent_tokens == self.truly_settled.tokens
        assert self.record.spent_micros == self.truly_settled.micros


def _used(tokens: int) -> Amounts:
    return Amounts(0, tokens, 0, tokens, tokens * PRICE)
