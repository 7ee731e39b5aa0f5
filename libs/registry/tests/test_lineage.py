"""Lineage: a walk over manifests, and a check of every byte of the chain."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from modelmill_registry.errors import CorruptArtifactError
from modelmill_registry.manifest import Edge, origin_of, verify, walk
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_service_kit.errors import NotFoundError
from registry_support.places import Place

FolderOf = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def chain(store: VerifyingStore, folder_of: FolderOf) -> dict[str, str]:
    """A build, made from an adapter, made from a base and a dataset, made from a file."""
    digests: dict[str, str] = {}

    def commit(name: str, kind: str, **made_from: str) -> None:
        sources = {role: digests[source] for role, source in made_from.items()}
        folder = folder_of({"content": name.encode()})
        digests[name] = store.commit(folder, kind=kind, form="x", made_from=sources).digest

    commit("file", "file")
    commit("dataset", "dataset", file="file")
    commit("base", "model")
    commit("adapter", "model", base="base", dataset="dataset")
    commit("build", "model", source="adapter", base="base", dataset="dataset")
    return digests


def test_a_walk_gives_every_edge_once_nearest_first(
    store: VerifyingStore, chain: dict[str, str]
) -> None:
    assert walk(store, chain["build"]) == (
        Edge(chain["build"], "base", chain["base"]),
        Edge(chain["build"], "dataset", chain["dataset"]),
        Edge(chain["build"], "source", chain["adapter"]),
        Edge(chain["dataset"], "file", chain["file"]),
        Edge(chain["adapter"], "base", chain["base"]),
        Edge(chain["adapter"], "dataset", chain["dataset"]),
    )
    assert walk(store, chain["base"]) == ()


def test_verify_reads_each_artifact_of_the_chain(
    store: VerifyingStore, chain: dict[str, str]
) -> None:
    assert {manifest.digest for manifest in verify(store, chain["build"])} == set(chain.values())


@pytest.mark.parametrize("name", ["file", "dataset", "base", "adapter", "build"])
def test_a_flipped_byte_anywhere_in_the_chain_is_found(
    store: VerifyingStore, place: Place, chain: dict[str, str], name: str
) -> None:
    sha256 = store.manifest(chain[name]).files[0].sha256
    place.write(f"blobs/sha256/{sha256[:2]}/{sha256}", name.encode().swapcase())
    with pytest.raises(CorruptArtifactError, match=sha256):
        verify(store, chain["build"])


def test_a_source_that_is_gone_is_not_found(
    store: VerifyingStore, place: Place, chain: dict[str, str]
) -> None:
    place.delete(f"manifests/{chain['file'][7:]}.json")
    with pytest.raises(NotFoundError, match=chain["file"]):
        walk(store, chain["build"])


def test_the_hub_of_a_base_is_told_though_the_dataset_is_erased(
    store: VerifyingStore, folder_of: FolderOf
) -> None:
    origin = {"source": "hf://acme/base", "licence": "mit"}
    base = store.commit(folder_of({"x": b"base"}), kind="model", form="x", attributes=origin)
    rows = store.commit(folder_of({"x": b"rows"}), kind="dataset", form="x")
    made_from = {"a-dataset": rows.digest, "base": base.digest}
    adapter = store.commit(folder_of({"x": b"a"}), kind="model", form="x", made_from=made_from)
    store.erase([rows.digest])

    assert origin_of(store, adapter.digest) == origin


def test_what_repeats_the_rows_of_an_artifact_is_found_and_what_was_trained_on_them_is_not(
    store: VerifyingStore, folder_of: FolderOf, chain: dict[str, str]
) -> None:
    folder = folder_of({"rows": b"answered"})
    made_from = {"dataset": chain["dataset"]}
    answered = store.commit(folder, kind="evaluation", form="x", made_from=made_from).digest

    assert store.repeating([chain["dataset"], chain["base"]]) == {answered}
    assert store.repeating([chain["file"]]) == set()
