"""What a token says, truly signed: times that can be, numbers and text as JSON has them."""

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_support.issuer import Issuer
from gateway_support.verifiers import KINDS, issuer_of, refused, verifier


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Every algorithm of every kind of issuer."""
    return str(request.param)


@pytest.fixture
def issuer(tmp_path: Path, kind: str) -> Issuer:
    return issuer_of(kind, tmp_path / "jwks.json", 1)


ODD_TIMES = [10**30, -(10**30), -1, 253_402_300_800, 1.5, 1e30, True, False, "1", [], {}]


def signed(issuer: Issuer, claims: bytes) -> str:
    """A token of exactly these claims."""
    header = {"alg": issuer.algorithm, "typ": "at+jwt", "kid": issuer.key_id}
    return issuer.sign_raw(json.dumps(header).encode(), claims)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ODD_TIMES, ids=repr)
async def test_a_time_is_a_whole_second_that_a_date_can_be_written_for(
    issuer: Issuer, kind: str, name: str, value: Any
):
    assert await refused(verifier(issuer, kind), issuer.token(**{name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "other"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_not_json_is_no_claim(
    issuer: Issuer, kind: str, name: str, value: str
):
    claims = json.dumps({**issuer.claims(), name: "here"})
    said = claims.replace('"here"', value).encode()
    is_json = (name, value) == ("other", "1e999")
    assert await refused(verifier(issuer, kind), signed(issuer, said)) is not is_json


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
)
async def test_a_token_is_utf_8_without_a_mark(issuer: Issuer, kind: str, encoding: str):
    claims = json.dumps(issuer.claims())
    assert not await refused(verifier(issuer, kind), signed(issuer, claims.encode()))
    assert await refused(verifier(issuer, kind), signed(issuer, claims.encode(encoding)))
