"""The same downloads from ModelScope: continued, compared with its digests, refused by name."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from hub_support.site import Site, contents
from modelmill_hub.address import HubAddress
from modelmill_hub.errors import (
    FalseDigestError,
    HubNotSupportedError,
    MissingRepositoryError,
    MissingRevisionError,
    RateLimitedError,
    TokenRefusedError,
    UnsafePathError,
)
from modelmill_hub.fetch import Fetcher
from modelmill_hub.hubs import open_hub
from modelmill_hub.model_scope import ModelScopeHub
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.hub_server import HubFile

TINY = HubAddress.parse("ms://org/tiny")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own ModelScope."""
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "modelscope"))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "")


def fetcher(site: Site, token: str = "hf_reader") -> Fetcher:
    hub = ModelScopeHub(site.server.model_scope_url, token)
    return Fetcher(hub, site.root, wait=site.waited.append)


def test_a_download_has_the_hubs_bytes_and_the_digest_of_its_listing(site: Site) -> None:
    fetched = fetcher(site).model(TINY)
    again = fetcher(site).model(HubAddress.parse("ms://org/tiny@main"))

    assert contents(fetched.folder) == site.expected()
    assert (fetched.origin["source"], fetched.origin["licence"]) == ("ms://org/tiny", "apache-2.0")
    assert fetched.origin["revision"] == fetched.folder.name == again.folder.name


def test_what_was_listed_is_read_again_by_its_digest(site: Site) -> None:
    repository = fetcher(site).look_up(TINY)

    assert contents(fetcher(site).model(TINY.at(repository.commit)).folder) == site.expected()


def test_a_cut_anywhere_is_continued(site: Site) -> None:
    whole = sum(map(len, site.expected().values()))
    random = Random(5)
    for offset in random.sample(range(1, whole), 4):
        one = fetcher(site)
        object.__setattr__(one, "root", site.root / str(offset))
        site.server.faults.cuts = [site.server.sent_bytes + 2000 + offset]

        assert contents(one.model(TINY).folder) == site.expected()
        assert not site.server.faults.cuts
    assert any(site.server.ranges("org/tiny"))


def test_the_token_stays_with_the_hub(site: Site) -> None:
    fetcher(site).model(TINY)

    assert {each.has_token for each in site.server.requests if not each.is_of_cdn} == {True}
    assert {each.has_token for each in site.server.requests if each.is_of_cdn} == {False}


@pytest.mark.parametrize(
    ("address", "token", "error", "words"),
    [
        ("ms://org/gone", "hf_reader", MissingRepositoryError, "Look at its name"),
        ("ms://org/tiny@gone", "hf_reader", MissingRevisionError, "Give a branch"),
        ("ms://org/tiny", "unknown", TokenRefusedError, "MODELSCOPE_API_TOKEN"),
        ("ms://org/gated", "", TokenRefusedError, "set MODELSCOPE_API_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_named(
    site: Site, address: str, token: str, error: type[DomainError], words: str
) -> None:
    site.server.add("org/gated", {"config.json": b"{}"}).is_gated = True

    with pytest.raises(error, match=words):
        fetcher(site, token).model(HubAddress.parse(address))


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"../model.safetensors": b"x"}, UnsafePathError),
        ({"model.safetensors": HubFile(b"x", listed_digest="0" * 64)}, FalseDigestError),
    ],
)
def test_hostile_repositories_are_refused(
    site: Site, files: Mapping[str, bytes | HubFile], error: type[DomainError]
) -> None:
    site.server.add("org/hostile", {"config.json": b"{}", **files})

    with pytest.raises(error):
        fetcher(site).model(HubAddress.parse("ms://org/hostile"))


def test_a_rate_limit_is_waited_for_and_then_named(site: Site) -> None:
    repository = fetcher(site).look_up(TINY)
    site.server.faults.refusals = [(429, {"retry-after": "90"})]

    with pytest.raises(RateLimitedError):
        fetcher(site).model(TINY.at(repository.commit))


def test_nothing_is_pushed_there(site: Site) -> None:
    with pytest.raises(HubNotSupportedError, match="own tool"):
        ModelScopeHub(site.server.model_scope_url, "hf_writer").push(site.model, TINY, "x")


def test_an_address_opens_the_hub_of_its_name() -> None:
    assert isinstance(open_hub(TINY), ModelScopeHub)
