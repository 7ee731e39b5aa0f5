"""API keys from the terminal to the gateway: `mill keys` with a real gateway and broker."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.bad_input.mill import mill
from tests.services.test_policies_live import Stack, running

pytestmark = pytest.mark.tier("journeys")


async def status(stack: Stack, key: str) -> int:
    return (
        await stack.http.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    ).status_code


async def refused(stack: Stack, *words: str) -> str:
    """What is said, in one line, of a command that cannot be done."""
    ended = await asyncio.to_thread(mill, stack.state, *words, **stack.environment)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


async def test_a_key_is_made_shown_limited_rotated_and_revoked(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        stack.environment["COLUMNS"] = "160"
        key = await stack.mill("keys", "create", "support bot", "--quiet", "--expires-in", "90d")
        assert re.fullmatch(r"mm-[A-Za-z0-9_-]{43}\n", key)
        assert await status(stack, key.strip()) == 200
        listed = await stack.mill("keys", "list")
        assert "support bot" in listed
        assert key.strip() not in listed
        (key_id,) = re.findall("key-[0-9a-f]{32}", listed)

        await stack.mill("keys", "limit", key_id, "--money", "12.50", "--period", "month")
        shown = await stack.mill("keys", "limit", key_id, "--parallel", 8)
        assert "parallel_requests 8, money 12.5, period month" in shown
        assert re.search("limits +none", await stack.mill("keys", "limit", key_id, "--none"))

        again = (await stack.mill("keys", "rotate", key_id)).strip()
        assert [await status(stack, each) for each in (key.strip(), again)] == [401, 200]
        await stack.mill("keys", "revoke", key_id)
        assert await status(stack, again) == 401
        assert "revoked" in await stack.mill("keys", "show", key_id)

        assert "no API key" in await refused(stack, "keys", "show", "key-nobody")
        assert "no such scope" in await refused(stack, "keys", "create", "x", "--scope", "root")
        assert "--expires-in" in await refused(stack, "keys", "create", "x", "--expires-in", "soon")
        assert "--none" in await refused(stack, "keys", "limit", key_id)
