"""What an API key is asked to be."""

import re
import time
from decimal import Decimal
from typing import Annotated, Literal

from modelmill.gateway.v1.gateway_events_pb2 import Limits
from pydantic import AfterValidator, Field, WithJsonSchema

from modelmill_gateway.domain.access import SCOPES
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.entrypoints.bodies.parsing import StrictBody
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

    requests_per_minute: Amount | None = None
    tokens_per_minute: Amount | None = None
    parallel_requests: int | None = Field(None, ge=1, le=1_000_000)
    tokens: Amount | None = Field(None, description="Maximum tokens in a period.")
    money: Money | None = Field(None, description=MONEY)
    period: Literal["day", "month"] | None = Field(
        None, description="Period of tokens and money, by UTC; without one they are never renewed."
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
        return Limits(
            requests_per_minute=self.requests_per_minute or 0,
            tokens_per_minute=self.tokens_per_minute or 0,
            parallel_requests=self.parallel_requests or 0,
            tokens=self.tokens or 0,
            micros=micros or 0,
            period=self.period or "",
        )


class ChangedKeyBody(StrictBody):
    """Request body of PATCH /v1/keys/{key_id}: what is absent stays; null takes a bound away."""

    name: Name | None = None
    models: Models | None = None
    expires_at: int | None = Field(
        None, ge=0, le=LAST_SECOND, description="Unix seconds at which the key expires."
    )
    expires_in_seconds: int | None = Field(None, ge=1, le=TEN_YEARS)
    limits: LimitsBody | None = Field(
        None, description="Limits; in an update they replace all earlier ones."
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
            given=frozenset(said),
        )


class KeyBody(ChangedKeyBody):
    """Request body of POST /v1/keys."""

    name: Name
    scopes: list[ScopeName] | None = Field(
        None,
        min_length=1,
        max_length=len(SCOPES),
        description="Scopes; chat and models:read if absent.",
    )
    models: Models | None = None

    def wanted(self) -> KeyRequest:
        """What is wanted. Raises BadRequestError."""
        return self.requested(scopes=None if self.scopes is None else list(self.scopes))
