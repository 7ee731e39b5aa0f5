"""What a hub refuses, each by an error of its own, and repositories that are refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hub_support.site import TINY, Site, contents
from modelmill_hub import errors
from modelmill_hub.address import HubAddress
from modelmill_hub.hugging_face import HuggingFaceHub
from modelmill_hub.transfer import Transfer
from modelmill_registry.model_folder import check_model_folder
from modelmill_service_kit.errors import DomainError, InvalidInputError
from modelmill_testkit.hostile_repositories import HOSTILE_REPOSITORIES, hostile_files
from modelmill_testkit.ports import free_port


def refusal(site: Site, address: str = "hf://org/tiny", token: str = "") -> DomainError:
    with pytest.raises(DomainError) as refused:
        site.fetcher(token).model(HubAddress.parse(address))
    assert len(refused.value.message.split(". ")) >= 2, "cause and remedy"
    return refused.value


def test_a_gated_repository_says_where_its_terms_are(site: Site) -> None:
    site.server.repositories["models", "org/tiny"].is_gated = True

    refused = refusal(site)

    assert isinstance(refused, errors.GatedRepositoryError)
    assert f"{site.server.url}/org/tiny" in refused.message
    assert "set HF_TOKEN" in refused.message
    site.fetcher("hf_reader").model(TINY)


def test_a_missing_and_a_private_repository_cannot_be_told_apart(site: Site) -> None:
    missing = refusal(site, "hf://org/none")
    site.server.repositories["models", "org/tiny"].is_private = True
    private = refusal(site)

    assert type(missing) is type(private) is errors.MissingRepositoryError
    assert "'org/none'" in missing.message
    site.fetcher("hf_reader").model(TINY)


def test_a_missing_revision_is_named(site: Site) -> None:
    refused = refusal(site, "hf://org/tiny@v9")

    assert isinstance(refused, errors.MissingRevisionError)
    assert "'v9'" in refused.message


def test_an_unknown_token_is_refused_as_such(site: Site) -> None:
    refused = refusal(site, token="hf_unknown")

    assert isinstance(refused, errors.TokenRefusedError)
    assert "HF_TOKEN" in refused.message
    assert "hf_unknown" not in refused.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "77"}, 77), ({"ratelimit": '"api";r=0;t=55'}, 55), ({}, 30)],
)
def test_a_rate_limit_says_when_to_come_back(
    site: Site, headers: Mapping[str, str], seconds: int
) -> None:
    site.server.faults.refusals = [(429, headers)]

    refused = refusal(site)

    assert isinstance(refused, errors.RateLimitedError)
    assert refused.retry_after_seconds == seconds


def test_a_short_rate_limit_of_a_file_is_waited_for(site: Site) -> None:
    fetcher = site.fetcher()
    listing = fetcher.hub.look_up(TINY)
    site.server.faults.refusals = [(429, {"retry-after": "3"})]

    Transfer(fetcher.hub, listing, site.root, wait=site.waited.append)(listing.files)

    assert site.waited == [3.0]
    assert contents(site.root) == site.expected()


def test_a_hub_that_is_away_is_tried_again_and_then_named(site: Site) -> None:
    port = free_port()
    away = site.fetcher()
    object.__setattr__(away, "hub", HuggingFaceHub(f"http://127.0.0.1:{port}", "x"))

    with pytest.raises(errors.HubUnreachableError, match=rf"127\.0\.0\.1:{port} does not answer"):
        away.model(TINY)
    assert len(site.waited) == 3


def test_what_is_no_hub_is_said_to_be_none(site: Site) -> None:
    site.server.faults.refusals = [(200, {})] * 4

    assert "does not answer as a hub does" in refusal(site).message


@pytest.mark.parametrize("name", HOSTILE_REPOSITORIES)
def test_a_hostile_repository_is_refused_by_name(site: Site, name: str, tmp_path: Path) -> None:
    reason = HOSTILE_REPOSITORIES[name][0]
    site.server.add("evil/model", hostile_files(name, site.model))

    def bring() -> None:
        fetched = site.fetcher().model(HubAddress.parse("hf://evil/model"))
        check_model_folder(fetched.folder)

    with pytest.raises(InvalidInputError) as refused:
        bring()

    assert refused.value.reason == reason
    assert refused.value.errors[0]
    assert {path.name for path in tmp_path.iterdir()} <= {"tiny", "hub", "home"}
    assert sum(map(len, contents(site.root).values())) < 1 << 20


def test_of_weights_beside_pickles_the_pickles_are_never_asked_for(site: Site) -> None:
    repository = site.server.repositories["models", "org/tiny"]
    site.server.add(
        "org/both",
        {**repository.files, "pytorch_model.bin": b"x", "modeling.py": b"x", "a.bin.json": b"{}"},
    )

    fetched = site.fetcher().model(HubAddress.parse("hf://org/both"))

    assert {path.name for path in fetched.folder.iterdir()} == set(site.expected())
    asked = [each.path for each in site.server.requests]
    assert not [path for path in asked if ".bin" in path or ".py" in path]


def test_nothing_is_asked_where_the_environment_forbids_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    # What HF_HUB_OFFLINE=1 sets when the library is loaded.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    assert isinstance(refusal(site), errors.HubOfflineError)
    assert not site.server.requests
