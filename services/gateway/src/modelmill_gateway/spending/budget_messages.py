"""Budgets as they lie on the bus."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.gateway.v1 import gateway_events_pb2 as pb

from modelmill_gateway.domain.ledger.amounts import PERIODS, Amounts, Limits, Settled
from modelmill_gateway.domain.ledger.budget import Budget, Lease


def budget_message(budget: Budget) -> pb.BudgetState:
    """The record as it is written."""
    return pb.BudgetState(
        budget_id=budget.budget_id,
        tenant=budget.tenant,
        limits=limits_message(budget.limits),
        spent_tokens=budget.spent_tokens,
        spent_micros=budget.spent_micros,
        period_start=_timestamp(budget.period_start_ms),
        fading_requests=budget.fading[0],
        fading_tokens=budget.fading[1],
        faded_at_ms=budget.faded_at_ms,
        leases=map(_lease_message, budget.leases),
        recall=budget.recall,
        grants=budget.grants,
        grants_at_recall=budget.grants_at_recall,
        quiet_before=budget.quiet_before,
        changed_by=budget.changed_by,
    )


def budget_of(message: pb.BudgetState) -> Budget:
    """The record as it is reckoned with."""
    return Budget(
        budget_id=message.budget_id,
        tenant=message.tenant,
        limits=limits_of(message.limits),
        spent_tokens=message.spent_tokens,
        spent_micros=message.spent_micros,
        period_start_ms=_milliseconds(message.period_start),
        fading=(message.fading_requests, message.fading_tokens),
        faded_at_ms=message.faded_at_ms,
        leases=tuple(map(_lease_of, message.leases)),
        recall=message.recall,
        grants=message.grants,
        grants_at_recall=message.grants_at_recall,
        quiet_before=message.quiet_before,
        changed_by=message.changed_by,
    )


def limits_message(limits: Limits) -> pb.Limits:
    """Limits as they are written."""
    return pb.Limits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        parallel_requests=limits.parallel_requests,
        tokens=limits.tokens,
        micros=limits.micros,
        period=limits.period,
    )


def limits_of(message: pb.Limits) -> Limits:
    """Limits as they are reckoned with."""
    return Limits(
        message.requests_per_minute,
        message.tokens_per_minute,
        message.parallel_requests,
        message.tokens,
        message.micros,
        next((period for period in PERIODS if period == message.period), ""),
    )


def _lease_message(lease: Lease) -> pb.BudgetLease:
    settled = pb.Amounts(
        requests=lease.settled.requests, tokens=lease.settled.tokens, micros=lease.settled.micros
    )
    return pb.BudgetLease(
        holder_id=lease.holder_id,
        leased=pb.Amounts(**lease.leased._asdict()),
        settled=settled,
        expires_at=_timestamp(lease.expires_ms),
        closed=lease.closed,
        answered=lease.answered,
        write=lease.write,
    )


def _lease_of(message: pb.BudgetLease) -> Lease:
    leased, settled = message.leased, message.settled
    return Lease(
        holder_id=message.holder_id,
        leased=Amounts(
            leased.requests, leased.minute_tokens, leased.parallel, leased.tokens, leased.micros
        ),
        settled=Settled(settled.requests, settled.tokens, settled.micros),
        expires_ms=_milliseconds(message.expires_at),
        closed=message.closed,
        answered=message.answered,
        write=message.write,
    )


def _timestamp(milliseconds: int) -> Timestamp | None:
    if not milliseconds:
        return None
    stamp = Timestamp()
    stamp.FromMilliseconds(milliseconds)
    return stamp


def _milliseconds(stamp: Any) -> int:
    return int(stamp.ToMilliseconds())
