"""NATS accounts: one has the streams, and each identity has one of its own.

An account reaches of the streams' account what it imports, and the broker's answers stay in the
account that asked: a reply subject reaches nothing of anybody else's. Permissions hold as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_bus.filters import covers
from modelmill_bus.permissions import (
    API,
    BACKUP,
    DEPLOY,
    EVERYTHING,
    heard_from,
    inbox_of,
    permissions_of,
)
from modelmill_bus.stream_folders import STREAMS_ACCOUNT

Block = dict[str, Any]
"""A block of the broker's configuration."""


@dataclass(frozen=True)
class Import:
    """What an account has of another: a service that it asks, or subjects that it hears."""

    kind: str
    """service or stream"""
    account: str
    """Which exports it."""
    subject: str


def accounts(public_keys: Mapping[str, str]) -> dict[str, Block]:
    """The accounts of the broker, by name; nothing in it is secret.

    Args:
        public_keys: the public nkey of each identity that may connect.
    """
    owner = {name: key for name, key in public_keys.items() if name == DEPLOY}
    made: dict[str, Block] = {STREAMS_ACCOUNT: {"jetstream": "enabled", **_users(owner)}}
    others = {name: key for name, key in public_keys.items() if name not in owner}
    made |= {name: _users({name: key}) for name, key in others.items()}
    offered: dict[Import, list[str]] = {}
    for name in others:
        imports = [each for each in imports_of(name) if each.account in made]
        made[name]["imports"] = [
            {each.kind: {"account": each.account, "subject": each.subject}} for each in imports
        ]
        for each in imports:
            offered.setdefault(each, []).append(name)
    for each, names in offered.items():
        made[each.account].setdefault("exports", []).append(_export(each, names))
    return made


def owner_account(user: str, password: str) -> dict[str, Block]:
    """The streams' account alone, of a broker that nobody but its owner uses."""
    users = [{"user": user, "password": password}]
    return {STREAMS_ACCOUNT: {"jetstream": "enabled", "users": users}}


def imports_of(identity: str) -> Iterator[Import]:
    """What the account of an identity has of others; no two of one kind match the same subject."""
    # Expected: an account without streams can ask JetStream nothing. Actual (nats-server 2.15): it
    # imports all of `$JS.API.>`, and is told that there are no streams, unless it imports this.
    for subject in _outermost((*permissions_of(identity).publish, f"{API}.INFO")):
        yield Import("service", STREAMS_ACCOUNT, subject)
    if identity == BACKUP:
        # Chunks of a snapshot are no answers: they go to the subject that the request's body names.
        yield Import("stream", STREAMS_ACCOUNT, f"{inbox_of(identity)}.>")
    for publisher, subject in heard_from(identity):
        # Of whoever publishes it: a subscription within the streams' account to one subject is what
        # a push consumer of somebody else could deliver to.
        yield Import("stream", publisher, subject)


def _outermost(subjects: Sequence[str]) -> list[str]:
    """Without those that another one covers: what two imports match is asked twice."""
    each_once = list(dict.fromkeys(subjects))
    return [
        subject
        for subject in each_once
        if not any(covers(other, subject) for other in each_once if other != subject)
    ]


def _export(offered: Import, names: list[str]) -> Block:
    # One answer closes the way back, unless more are announced.
    several = offered.kind == "service" and ".CONSUMER.MSG.NEXT." in offered.subject
    answers = {"response_type": "Stream"} if several else {}
    return {offered.kind: offered.subject, "accounts": names, **answers}


def _users(public_keys: Mapping[str, str]) -> Block:
    return {"users": [_user(name, key) for name, key in public_keys.items()]}


def _user(name: str, public_key: str) -> Block:
    allowed = permissions_of(name)
    publish = _lists(allow=allowed.publish, deny=allowed.never_publish)
    # An empty list would be no limit.
    subscribe = _lists(allow=allowed.subscribe, deny=() if allowed.subscribe else (EVERYTHING,))
    return {"nkey": public_key, "permissions": {"publish": publish, "subscribe": subscribe}}


def _lists(**subjects: tuple[str, ...]) -> dict[str, list[str]]:
    return {word: list(each) for word, each in subjects.items() if each}
