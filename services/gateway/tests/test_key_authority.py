"""One rule says who may make, change, rotate and revoke which key."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest
from gateway_support.api_keys import issued, with_key
from gateway_support.house import House
from gateway_support.key_store import NOW, OWNER, managed_keys
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill_gateway.domain.access import MOST_IN_LINE, Caller
from modelmill_gateway.domain.ledger.budget import Limits
from modelmill_gateway.identity.key_book import KeyBook
from modelmill_gateway.identity.manage_keys import KeyRequest, ManageKeys
from modelmill_service_kit.errors import PermissionDeniedError, PreconditionError

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPES = ("keys", "chat", "jobs")
MODELS = ("a", "b")
LIMITS = (Limits(), Limits(tokens=10), Limits(tokens=5), Limits(requests_per_minute=3))


@dataclass
class Made:
    """A key, and what it is as far as the test reckons; None where nothing bounds it."""

    key_id: str
    caller: Caller
    maker: "Made | None"
    scopes: set[str]
    models: set[str] | None
    expires: int | None
    limits: Limits

    @property
    def line(self) -> "list[Made]":
        return [self, *(self.maker.line if self.maker else [])]

    @property
    def all_models(self) -> set[str] | None:
        lists = [each.models for each in self.line if each.models is not None]
        return set.intersection(*lists) if lists else None

    @property
    def end(self) -> float:
        return min(each.expires or float("inf") for each in self.line)

    @property
    def limited(self) -> set[str]:
        return {each.key_id for each in self.line if each.limits != Limits()}


def could_have_made(one: Made, other: Made) -> bool:
    """Whether all that the other key is lies within the first."""
    # A key may be left with no model at all, which is within any list; None is every model.
    mine, theirs = one.all_models, other.all_models
    return (
        other.scopes <= one.scopes
        and (mine is None or (theirs is not None and theirs <= mine))
        and other.end <= one.end
        and one.limited <= other.limited
    )


KEYS_ALONE: dict[str, Any] = {
    "scopes": {"keys"},
    "models": None,
    "expires": None,
    "limits": Limits(),
}
DESIRED_STATE_WORDS = st.fixed_dictionaries(
    {
        "scopes": st.sets(st.sampled_from(SCOPES), min_size=1),
        "models": st.none() | st.sets(st.sampled_from(MODELS), min_size=1),
        "expires": st.none() | st.sampled_from([int(NOW) + 1, int(NOW) + 9]),
        "limits": st.sampled_from(LIMITS),
    }
)
TREES = st.lists(st.tuples(st.integers(0, 3), DESIRED_STATE_WORDS), min_size=2, max_size=7)
LATER = st.lists(
    st.tuples(
        st.integers(0, 6), st.none() | st.sets(st.sampled_from(MODELS), min_size=1), st.booleans()
    ),
    max_size=3,
)


async def is_let(doing: Awaitable[Any]) -> bool:
    try:
        await doing
    except PermissionDeniedError:
        return False
    return True


async def grown(keys: ManageKeys, book: KeyBook, tree: list[tuple[int, Any]]) -> list[Made]:
    """Keys as requested, each by one of those before it, or by the owner, as far as that is let."""
    made: list[Made] = []
    for number, requested in tree:
        maker = made[-number] if 0 < number <= len(made) else None
        given = KeyRequest(
            name="x",
            scopes=sorted(requested["scopes"]),
            models=sorted(requested["models"] or ()),
            expires=requested["expires"],
            limits=requested["limits"],
            given=frozenset({"name", "scopes", "models", "expires", "limits"}),
        )
        try:
            state, secret = await keys.create(given, maker.caller if maker else OWNER)
        except PermissionDeniedError:
            assert maker is not None
            continue
        one = Made(state.key_id, book.caller(secret), maker, **requested)
        assert maker is None or could_have_made(maker, one)
        assert one.caller.makers == tuple(each.key_id for each in one.line[1:])
        made.append(one)
    return made


async def changed_later(keys: ManageKeys, made: list[Made], later: Any) -> None:
    """Bounds that the owner sets on keys when they have made others."""
    for number, models, is_limited in later:
        one = made[number % len(made)]
        limits = Limits(tokens=7) if is_limited else Limits()
        requested = KeyRequest(
            models=sorted(models or ()), limits=limits, given=frozenset({"models", "limits"})
        )
        await keys.change(one.key_id, requested, OWNER)
        one.models, one.limits = models, limits


@given(tree=TREES, later=LATER, revoked=st.integers(0, 48))
@example(  # a key is left with no model, by two lists that have nothing in common
    tree=[(number, KEYS_ALONE) for number in (0, 0, 1, 0)],
    later=[(1, {"b"}, False), (2, {"a"}, False)],
    revoked=0,
)
@settings(max_examples=150, deadline=None)
async def test_a_key_does_to_another_only_what_it_could_grant_itself_whoever_made_it(
    tree: list[tuple[int, Any]], later: Any, revoked: int
):
    async with managed_keys() as (keys, book):
        made = await grown(keys, book, tree)
        await changed_later(keys, made, later)
        pairs = [(one, other) for one in made for other in made]
        for one, other in pairs:
            may = could_have_made(one, other)
            requested = KeyRequest(name="new", given=frozenset({"name"}))
            assert await is_let(keys.change(other.key_id, requested, one.caller)) == may
            assert await is_let(keys.rotate(other.key_id, one.caller)) == may
            state = book.get(other.caller.tenant, other.key_id)
            now = book.caller_of(state).models
            assert now == (None if other.all_models is None else frozenset(other.all_models))
        one, other = pairs[revoked % len(pairs)]
        assert await is_let(keys.revoke(other.key_id, one.caller)) == could_have_made(one, other)


@given(
    tree=TREES,
    requested=DESIRED_STATE_WORDS,
    places=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
@settings(max_examples=150, deadline=None)
async def test_what_a_key_makes_of_another_lies_within_it_too(
    tree: list[tuple[int, Any]], requested: Any, places: tuple[int, int]
):
    async with managed_keys() as (keys, book):
        made = await grown(keys, book, tree)
        one, other = (made[place % len(made)] for place in places)
        wanted = KeyRequest(
            models=sorted(requested["models"] or ()),
            expires=requested["expires"],
            limits=requested["limits"],
            given=frozenset({"models", "expires", "limits"}),
        )
        if await is_let(keys.change(other.key_id, wanted, one.caller)):
            assert could_have_made(one, other)
            assert one is not other
            other.models, other.expires = requested["models"], requested["expires"]
            other.limits = requested["limits"]
            assert could_have_made(one, other)


async def test_keys_make_keys_only_so_deep():
    async with managed_keys() as (keys, book):
        caller, requested = OWNER, KeyRequest(name="x", scopes=["keys"], given=frozenset({"name"}))
        for _ in range(MOST_IN_LINE):
            _, secret = await keys.create(requested, caller)
            caller = book.caller(secret)
        with pytest.raises(PreconditionError, match="a key above yours"):
            await keys.create(requested, caller)
        assert len(caller.makers) == MOST_IN_LINE - 1


async def test_a_bounded_key_leaves_stronger_keys_as_they_are(house: House):
    owner = house.http(tenant="guarded")
    stronger = await issued(owner, scopes=["keys", "chat", "jobs"])
    unlimited = await issued(owner, scopes=["keys", "chat"])
    weak = await issued(
        owner, scopes=["keys", "chat"], models=["default"], limits={"requests_per_minute": 60}
    )
    async with with_key(house, weak["key"]) as client:
        limits = {"requests_per_minute": 6}
        child = await issued(client, scopes=["chat"], limits=limits)
        for other in (stronger, unlimited):
            path = f"/v1/keys/{other['id']}"
            for attempt in (
                client.delete(path),
                client.post(f"{path}/rotate"),
                client.patch(path, json={"name": "mine"}),
                client.patch(path, json={"models": ["default"], "limits": limits}),
                client.patch(path, json={"expires_in_seconds": 1}),
            ):
                assert (await attempt).status_code == 403
        assert (await client.delete(f"/v1/keys/{child['id']}")).status_code == 200
        assert (await client.delete(f"/v1/keys/{child['id']}")).status_code == 200
    for other in (stronger, unlimited):
        async with with_key(house, other["key"]) as client:
            assert (await client.get("/v1/keys")).status_code == 200


async def test_what_a_key_may_no_longer_ask_for_those_that_it_made_may_not_either(house: House):
    owner = house.http(tenant="narrowed")
    parent = await issued(owner, scopes=["keys", "chat", "models:read"], models=["default", "tiny"])
    async with with_key(house, parent["key"]) as client:
        child = await issued(client, scopes=["chat", "models:read"])
    await owner.patch(f"/v1/keys/{parent['id']}", json={"models": ["tiny"]})
    async with with_key(house, child["key"]) as client:
        assert (await client.get("/v1/models/default")).status_code == 403
        assert (await client.get("/v1/models/tiny")).status_code == 200
