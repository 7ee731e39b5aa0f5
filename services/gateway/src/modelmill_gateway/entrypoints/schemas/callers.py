"""Who asks: what the gateway has understood of a credential."""

from typing import Literal, Self

from pydantic import Field

from modelmill_gateway.domain.access import OPERATOR, SCOPES, Caller
from modelmill_gateway.entrypoints.schemas.base import (
    OrNull,
    ResponseModel,
    Tenant,
    UnixSeconds,
    User,
)


class CallerIdentity(ResponseModel):
    """Caller of a request, as its credential names them. Empty `models` means all of the tenant's;
    `key_id` is null for a token.
    """

    object: Literal["caller"] = "caller"
    tenant: Tenant
    subject: User
    scopes: list[str] = Field(
        description="Scopes that count, of a key those that its makers still have.",
        examples=[["chat", "models:read"]],
    )
    models: list[str] = Field(examples=[["wordnet"]])
    key_id: OrNull[str] = Field(examples=["key-6f0d2a"])
    expires_at: UnixSeconds | None = Field(description="Null for a key that does not expire.")

    @classmethod
    def of_caller(cls, caller: Caller) -> Self:
        """The caller whom the middleware let in; scopes that nothing asks for are left out."""
        return cls.of(
            caller,
            scopes=[scope for scope in (*SCOPES, OPERATOR) if scope in caller.scopes],
            models=sorted(caller.models or ()),
            expires_at=None if caller.expires is None else int(caller.expires),
        )
