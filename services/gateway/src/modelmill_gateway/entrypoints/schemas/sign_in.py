"""Where people sign in."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import ResponseModel

ISSUER = "https://login.example.com/realms/people"


class SignInOption(ResponseModel):
    """OpenID provider whose tokens the gateway takes, with a public client for the console.

    Clients use the authorization code flow with PKCE (S256).
    """

    object: Literal["sign_in_option"] = "sign_in_option"
    issuer: str = Field(examples=[ISSUER])
    client_id: str = Field(examples=["modelmill-console"])
    scope: str = Field(examples=["openid"])
    authorization_endpoint: str = Field(examples=[f"{ISSUER}/auth"])
    token_endpoint: str = Field(examples=[f"{ISSUER}/token"])
