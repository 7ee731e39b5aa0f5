"""A form says what its file is for, before the file or behind it."""

from typing import Any

import httpx
import pytest
from gateway_support.house import House
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDARY = "b0undary"
LARGE = b"0123456789abcdef" * 160_000


def form(*parts: tuple[str, bytes | str]) -> bytes:
    """A form with these parts, in this order; bytes are a file."""
    said = b""
    for name, value in parts:
        is_file = isinstance(value, bytes)
        more = '; filename="a.jsonl"' if is_file else ""
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'
        said += head.encode() + (value if is_file else value.encode()) + b"\r\n"
    return said + f"--{BOUNDARY}--\r\n".encode()


async def send(house: House, *pieces: bytes) -> httpx.Response:
    async def body() -> Any:
        for piece in pieces:
            yield piece

    kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return await house.http(tenant="late").post("/v1/files", content=body(), headers=kind)


async def content(house: House, answer: httpx.Response) -> bytes:
    path = f"/v1/files/{answer.json()['id']}/content"
    return (await house.http(tenant="late").get(path)).content


@pytest.mark.parametrize("stored", [b"{}\n", LARGE], ids=["in memory", "on the disk"])
async def test_a_file_may_come_before_its_purpose(house: House, stored: bytes):
    answer = await send(house, form(("file", stored), ("purpose", "fine-tune")))

    assert (answer.status_code, answer.json()["purpose"]) == (200, "fine-tune")
    assert await content(house, answer) == stored


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 300))
async def test_where_a_form_is_cut_on_its_way_changes_nothing(house: House, cut: int):
    late = form(("file", b"{}\n"), ("purpose", "evals"))
    early = form(("purpose", "batch"), ("file", b"{}\n"), ("purpose", "evals"))
    for whole, purpose in ((late, "evals"), (early, "batch")):
        answer = await send(house, whole[:cut], whole[cut:])

        assert (answer.status_code, answer.json()["purpose"]) == (200, purpose)


async def test_a_file_without_a_purpose_is_refused(house: House):
    answer = await send(house, form(("file", b"{}\n")))

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")


async def test_a_file_that_ends_in_the_middle_is_not_stored(house: House):
    client = house.http(tenant="late")
    before = (await client.get("/v1/files")).json()["data"]
    whole = form(("file", LARGE), ("purpose", "fine-tune"))
    answer = await send(house, whole[:-60])

    assert answer.status_code == 400
    assert (await client.get("/v1/files")).json()["data"] == before


ANCHOR, HOUR = ("expires_after[anchor]", "created_at"), ("expires_after[seconds]", "3600")


@pytest.mark.parametrize("where", [0, 2])
async def test_a_file_may_expire_wherever_that_is_said(house: House, where: int):
    fields: list[tuple[str, str | bytes]] = [("file", b"{}\n"), ("purpose", "fine-tune")]
    fields[where:where] = [ANCHOR, HOUR]
    answer = await send(house, form(*fields))

    stored = answer.json()
    assert answer.status_code == 200
    assert stored["expires_at"] == stored["created_at"] + 3600


async def test_an_expiry_behind_a_file_that_passed_already_stores_nothing(house: House):
    client = house.http(tenant="late")
    before = (await client.get("/v1/files")).json()["data"]
    answer = await send(house, form(("purpose", "fine-tune"), ("file", b"{}\n"), ANCHOR, HOUR))

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_after")
    assert (await client.get("/v1/files")).json()["data"] == before


@pytest.mark.parametrize(
    "said",
    [
        [HOUR],
        [ANCHOR],
        [ANCHOR, ("expires_after[seconds]", "60")],
        [ANCHOR, ("expires_after[seconds]", "soon")],
        [("expires_after[anchor]", "last_active_at"), HOUR],
        [ANCHOR, HOUR, ("expires_after[days]", "3")],
        [("expires_after", "3600")],
    ],
)
async def test_an_expiry_that_means_nothing_is_refused(house: House, said: list[tuple[str, str]]):
    answer = await send(house, form(*said, ("purpose", "fine-tune"), ("file", b"{}\n")))

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_after")
