"""API keys, budgets, the limits of both, and the audit log of changes."""

import re
import time
from decimal import Decimal
from typing import Annotated, Literal, Self

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.envelope import Stored
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from modelmill_gateway.domain.access import SCOPES
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.ledger.budget import Budget as BudgetRecord
from modelmill_gateway.domain.ledger.budget import Limits
from modelmill_gateway.entrypoints.schemas.base import (
    OrNull,
    RequestId,
    ResponseModel,
    UnixSeconds,
    User,
    VersionId,
)
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody
from modelmill_gateway.identity.manage_keys import KeyRequest

MICROS = 1_000_000
TEN_YEARS = 10 * 366 * 24 * 3600
LAST_SECOND = 253_402_300_799
"""Of the year 9999, the last that a timestamp can say."""


def _known(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"no such scope. There are {', '.join(SCOPES)}")
    return scope


ScopeName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(SCOPES)})
]
Amount = Annotated[int, Field(ge=1, le=10**15)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Model = Annotated[str, Field(min_length=1, max_length=256)]
NAMES = "Names of models and aliases, and no others, on every route; none is all of them."
Models = Annotated[list[Model], Field(max_length=100, description=NAMES)]
MONEY = "In the operator's currency, as a decimal number in text, with at most six decimals."
MONEY_FORM = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
NAME, SCOPE_NAMES, MODEL_NAMES = "support bot", ["chat", "models:read"], ["wordnet"]
"""Examples."""


def _as_money(text: str) -> str:
    if not re.fullmatch(MONEY_FORM, text):
        raise ValueError("must be a number below a billion with at most six decimals, like 12.50")
    return text


Money = Annotated[
    str,
    AfterValidator(_as_money),
    WithJsonSchema({"type": "string", "pattern": MONEY_FORM}),
]


class LimitsBody(StrictBody):
    """Limits; an absent field means no limit."""

    requests_per_minute: Amount | None = Field(None, examples=[600])
    tokens_per_minute: Amount | None = None
    parallel_requests: int | None = Field(None, ge=1, le=1_000_000, examples=[8])
    tokens: Amount | None = Field(None, description="Maximum tokens in a period.")
    money: Money | None = Field(None, description=MONEY, examples=["12.50"])
    period: Literal["day", "month"] | None = Field(
        None,
        description="Period of tokens and money, by UTC; without one they are never renewed.",
        examples=["month"],
    )

    def limits(self) -> Limits:
        """As they are stored.

        Raises:
            BadRequestError: money that is nothing, or a period of nothing.
        """
        micros = int(Decimal(self.money) * MICROS) if self.money is not None else None
        if micros == 0:
            raise BadRequestError("limits.money: must be more than 0", param="limits")
        if self.period is not None and self.tokens is None and micros is None:
            raise BadRequestError("limits.period: is of tokens or money", param="limits")
        said = self.model_dump(exclude={"money"}, exclude_none=True)
        return Limits(**said, micros=micros or 0)


class ChangedKeyBody(StrictBody):
    """Request body of PATCH /v1/keys/{key_id}: what is absent stays; null takes a bound away."""

    name: Name | None = None
    models: Models | None = None
    expires_at: int | None = Field(
        None, ge=0, le=LAST_SECOND, description="Unix seconds at which the key expires."
    )
    expires_in_seconds: int | None = Field(None, ge=1, le=TEN_YEARS)
    limits: LimitsBody | None = Field(
        None,
        description="Limits; in an update they replace all earlier ones.",
        examples=[{"requests_per_minute": 60}],
    )
    store: bool = Field(
        False, description="Whether requests and answers are logged; `/v1/logs` shows them."
    )

    def requested(self, *, scopes: list[str] | None = None) -> KeyRequest:
        """What is wanted.

        Raises:
            BadRequestError: two ends, an empty name, or limits that cannot be.
        """
        said = set(self.model_fields_set)
        if {"expires_at", "expires_in_seconds"} <= said:
            raise BadRequestError("give one of expires_at and expires_in_seconds")
        if "name" in said and self.name is None:
            raise BadRequestError("name: must be given", param="name")
        expires = self.expires_at
        if self.expires_in_seconds is not None:
            expires = int(time.time()) + self.expires_in_seconds
        if said & {"expires_at", "expires_in_seconds"}:
            said = said - {"expires_at", "expires_in_seconds"} | {"expires"}
        return KeyRequest(
            name=self.name or "",
            scopes=scopes,
            models=list(dict.fromkeys(self.models or ())),
            expires=expires,
            limits=self.limits.limits() if self.limits is not None else Limits(),
            store=self.store,
            given=frozenset(said),
        )


class KeyBody(ChangedKeyBody):
    """Request body of POST /v1/keys."""

    name: Name = Field(examples=[NAME])
    scopes: list[ScopeName] | None = Field(
        None,
        min_length=1,
        max_length=len(SCOPES),
        description="Scopes; chat and models:read if absent.",
        examples=[SCOPE_NAMES],
    )
    models: Models | None = Field(None, examples=[MODEL_NAMES])

    def wanted(self) -> KeyRequest:
        """What is wanted. Raises BadRequestError."""
        return self.requested(scopes=None if self.scopes is None else list(self.scopes))


class BudgetBody(StrictBody):
    """Request body of PUT /v1/budget."""

    limits: LimitsBody
    """All of them, in place of those before; none takes them away."""


def money(micros: int) -> str:
    """Millionths as a decimal number, without zeros behind it."""
    return f"{(Decimal(micros) / MICROS).normalize():f}"


class KeyLimits(ResponseModel):
    """Limits of a key; null means no limit. `money` is a decimal number as text."""

    requests_per_minute: OrNull[int] = Field(examples=[600])
    tokens_per_minute: OrNull[int]
    parallel_requests: OrNull[int] = Field(examples=[8])
    tokens: OrNull[int]
    money: Annotated[str | None, BeforeValidator(lambda it: money(it) if it else None)] = Field(
        validation_alias="micros", examples=["12.5"]
    )
    period: OrNull[Literal["day", "month"]] = Field(examples=["month"])


class BudgetUsage(ResponseModel):
    """Use of a budget: what is settled in this period, and what replicas hold as leases, used or
    not.
    """

    tokens: int = Field(examples=[81_204])
    money: str = Field(examples=["3.25"])
    leased_tokens: int = Field(examples=[4_096])
    leased_money: str = Field(examples=["0.05"])
    period_start: UnixSeconds | None

    @classmethod
    def of_budget(cls, budget: BudgetRecord) -> "BudgetUsage":
        """What is used of a budget."""
        settled, leased = budget.settled, budget.leased
        return cls(
            tokens=settled.tokens,
            money=money(settled.micros),
            leased_tokens=leased.tokens,
            leased_money=money(leased.micros),
            period_start=budget.period_start_ms // 1000 or None,
        )


class Budget(ResponseModel):
    """Budget: a tenant's limits and their use."""

    object: Literal["budget"] = "budget"
    limits: KeyLimits
    usage: BudgetUsage
    changed_by: User

    @classmethod
    def of_budget(cls, budget: BudgetRecord) -> "Budget":
        """A tenant's budget."""
        limits, usage = KeyLimits.of(budget.limits), BudgetUsage.of_budget(budget)
        return cls(limits=limits, usage=usage, changed_by=budget.changed_by)


class ApiKey(ResponseModel):
    """Record of an API key; `prefix` has its first characters. Empty `models` means all of the
    tenant's. Revoked and expired keys are listed, too.
    """

    id: str = Field(validation_alias="key_id", examples=["key-6f0d2a"])
    object: Literal["api_key"] = "api_key"
    name: str = Field(examples=[NAME])
    prefix: str = Field(examples=["mm-Wq3xT0a"])
    status: Literal["active", "expired", "revoked"]
    scopes: list[str] = Field(examples=[SCOPE_NAMES])
    models: list[str] = Field(examples=[MODEL_NAMES])
    limits: KeyLimits
    store: bool
    """Whether what is asked with it, and with keys that it makes, is logged."""
    expires_at: UnixSeconds | None
    created_at: UnixSeconds
    created_by: User
    changed_by: User


class IssuedApiKey(ApiKey):
    """API key and its record; the key is shown once and not stored."""

    key: str = Field(examples=["mm-Wq3xT0aEXAMPLEkeyEXAMPLEkeyEXAMPLEkeyEXAMPL"])


class ShownApiKey(ApiKey):
    """Record of an API key and its use; `usage` is null for a key that never had limits."""

    usage: BudgetUsage | None


class Change(ResponseModel):
    """Audit record of a change. `object_id` is as the path or the response named it.

    The tenant's last thousand are listed.
    """

    id: str = Field(examples=["change-req-0b8f"])
    object: Literal["audit.change"] = "audit.change"
    at: UnixSeconds
    subject: User
    key_id: OrNull[str]
    route: str = Field(examples=["delete_model"])
    object_id: OrNull[VersionId]
    request_id: RequestId

    @classmethod
    def of_stored(cls, stored: Stored[ChangeRecorded]) -> Self:
        """Who changed what, and when."""
        return cls.of(stored.body, id=f"change-{stored.event_id}")
