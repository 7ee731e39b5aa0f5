"""Aliases that the gateway shares out among versions, as inference reads them."""

from typing import Any

from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.envelope import Stored
from modelmill_inference.resolve_alias import AliasResolver


def known_by(**options: Any) -> AliasResolver:
    state = AliasState(tenant="acme", name="kinds", version_id="mv-1")
    state.options.update({"kind": "split"} | options)
    names = AliasResolver(lambda _tenant, _version: True)
    names.set(Stored(1, "alias.state.acme.kinds", state, {}), at_once=True)
    return names


def test_such_an_alias_means_its_first_version_and_keeps_all_of_them() -> None:
    variants = [{"name": name, "version_id": f"mv-{name}", "weight": 1} for name in "12"]
    known = known_by(
        variants=variants,
        shadow={"version_id": "mv-3", "share": 0.5},
        fallback=["mv-4", "mv-1"],
    )

    assert known.resolve_model("acme", "kinds").version_id == "mv-1"
    assert known.in_use() == {"mv-1", "mv-2", "mv-3", "mv-4"}


def test_options_that_are_no_split_are_no_fault() -> None:
    known = known_by(variants="x", shadow=7, fallback=[8])

    assert known.in_use() == {"mv-1"}
