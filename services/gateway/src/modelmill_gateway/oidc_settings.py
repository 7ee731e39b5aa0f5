"""What an operator says of an OpenID provider, in the setting OIDC_ISSUERS."""

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from modelmill_gateway.domain.public_addresses import is_safe_address


class OidcSettings(BaseModel):
    """One OpenID provider. Exactly one of the fields about tenants, and of those about scopes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(max_length=1024)
    """Its `iss`, compared whole; keys are found from here."""
    audience: str = Field(min_length=1)
    """What `aud` is, or has among others: what the provider calls this gateway."""
    tenant: str = Field("", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """The tenant of all its tokens."""
    tenant_claim: str = ""
    """The claim that says it."""
    scopes: tuple[str, ...] = ()
    """What all its tokens grant."""
    scope_claim: str = ""
    """The claim that says it, a text or a list."""
    client_id: str = Field("", max_length=255)
    """Public client at the provider by which people sign in to the web console; empty for none."""
    sign_in_scope: str = Field("openid", max_length=1024)
    """What the console asks the provider for; `openid` must be among it."""

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        if not is_safe_address(issuer) or "?" in issuer or "#" in issuer:
            raise ValueError("https, or http on loopback, without query and fragment")
        return issuer

    @model_validator(mode="after")
    def _says_whose_and_what(self) -> "OidcSettings":
        if bool(self.tenant) == bool(self.tenant_claim):
            raise ValueError("give exactly one of tenant and tenant_claim")
        if bool(self.scopes) == bool(self.scope_claim):
            raise ValueError("give exactly one of scopes and scope_claim")
        if "openid" not in self.sign_in_scope.split():
            raise ValueError("sign_in_scope must have openid, by which the sign-in is told")
        return self
