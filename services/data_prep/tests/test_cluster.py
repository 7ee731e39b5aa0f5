"""Where a job's rows are worked on: this machine, or a cluster that is named, with the same code.

What a real cluster does is in `tests/ray_cluster`: Ray is not installed here.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from data_prep_support.children import child_port
from modelmill_data_prep.adapters.installed_code import PACKAGES, code_fingerprint
from modelmill_data_prep.adapters.local_pool import LocalPool
from modelmill_data_prep.child import main
from modelmill_data_prep.make_dataset import RayCluster
from modelmill_data_prep.settings import Settings
from pydantic import ValidationError


class FakePool(LocalPool):
    """Remembers the address that it was made with."""

    addresses: ClassVar[list[str]] = []

    def __init__(self, request: Any, address: str) -> None:
        super().__init__(request, 1)
        self.addresses.append(address)


def test_a_named_cluster_and_only_that_gets_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("modelmill_data_prep.adapters.ray_pool")
    module.RayPool = FakePool  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(FakePool, "addresses", [])
    rows = b"\n".join(b'{"q": "%d?", "a": "x"}' % n for n in range(9))

    for name, address in (("here", ""), ("there", "ray://head:10001")):
        (tmp_path / name).mkdir()
        with child_port(tmp_path / name, rows) as port:
            port.request["ray_address"] = address
            assert main(port)["counts"]["rows_kept"] == 9

    assert FakePool.addresses == ["ray://head:10001"]


def test_the_token_reaches_ray_by_its_file() -> None:
    assert RayCluster("head:6379", Path("/etc/token")).environment == {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/etc/token",
    }


def test_an_address_wants_ray_and_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = {"nats_url": "nats://127.0.0.1:1", "nats_token": "t", "service_secret": "s" * 32}
    requested |= {"artifact_root": str(tmp_path), "work_root": str(tmp_path)}
    requested |= {"ray_address": "head:6379"}
    with pytest.raises(ValidationError, match=r"deploy/ray/requirements\.txt"):
        Settings(**requested)

    monkeypatch.setattr("modelmill_data_prep.settings.find_spec", lambda _: object())
    with pytest.raises(ValidationError, match="DATA_PREP_RAY_TOKEN_FILE"):
        Settings(**requested)
    assert Settings(**requested, ray_token_file="token").ray_address == "head:6379"


def copy_of_a_package(root: Path) -> Path:
    for name in PACKAGES:
        (root / name / "inner").mkdir(parents=True)
        (root / name / "__init__.py").write_text("ONE = 1\n")
        (root / name / "inner" / "words.txt").write_text("one\n")
    return root


def test_code_is_the_same_only_where_every_file_and_version_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_of_a_package(tmp_path)
    monkeypatch.setattr(
        "modelmill_data_prep.adapters.installed_code.find_spec",
        lambda name: Found([str(root / name)]),
    )
    first = code_fingerprint()
    cache = root / PACKAGES[0] / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"compiled")
    assert code_fingerprint() == first

    seen = {first, code_fingerprint(["en_core_web_sm"])}
    for package in PACKAGES:
        words = root / package / "inner" / "words.txt"
        words.write_text(f"two of {package}\n")
        seen.add(code_fingerprint())
        words.rename(words.with_name("others.txt"))
        seen.add(code_fingerprint())
    monkeypatch.setattr("modelmill_data_prep.adapters.installed_code.version", lambda _: "0")
    seen.add(code_fingerprint())
    assert len(seen) == 2 + 2 * len(PACKAGES) + 1


class Found:
    """What an import system says of a package."""

    def __init__(self, places: list[str]) -> None:
        self.submodule_search_locations = places
