"""What is not judged, and what the caller is told."""

from typing import Any

import pytest
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_testkit.waiting import eventually

POLICY = """
max_check_characters: 50
rules:
- {id: apple, category: test, severity: low, action: block, directions: both, keywords: [apple]}
"""


async def put_and_wait(moderation: Any, tenant: str) -> None:
    digest = await moderation.put_policy(tenant, POLICY)

    async def in_force() -> bool:
        return bool((await moderation.check("", tenant=tenant)).policy_digest == digest)

    await eventually(in_force)


@pytest.mark.parametrize("pieces", [["x" * 51], ["x" * 30, "x" * 21]])
async def test_a_text_over_the_limit_is_refused_with_the_limit(
    moderation: Any, pieces: list[str]
) -> None:
    await put_and_wait(moderation, "acme")
    with pytest.raises(InvalidInputError, match="51 characters; the limit is 50"):
        await moderation.check("".join(pieces))
    with pytest.raises(InvalidInputError, match="51 characters; the limit is 50"):
        await moderation.guard(pieces)
    assert (await moderation.check("x" * 50)).action == pb.ACTION_ALLOW


async def test_everything_wrong_with_a_request_is_listed(moderation: Any) -> None:
    for ask in (
        lambda: moderation.check("x", tenant="A b", direction=0),
        lambda: moderation.guard(["x"], tenant="", direction=9),
    ):
        with pytest.raises(InvalidInputError) as refusal:
            await ask()
        assert len(refusal.value.errors) == 2
        assert "tenant" in refusal.value.errors[0]
        assert "direction" in refusal.value.errors[1]


async def test_without_a_valid_bundle_nothing_passes(moderation: Any) -> None:
    await moderation.put_policy("acme", POLICY, digest="sha256:0")

    async def closed() -> bool:
        try:
            await moderation.check("hello")
        except PreconditionError:
            return True
        return False

    await eventually(closed)
    with pytest.raises(PreconditionError, match="nothing may pass"):
        await moderation.guard(["hello"])
    assert (await moderation.check("hello", tenant="other")).action == pb.ACTION_ALLOW
