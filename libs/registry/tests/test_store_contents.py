"""What goes into the store comes out of it, under a digest that covers all of it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_registry.verifying_store import VerifyingStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from registry_support.places import BucketPlace, FolderPlace, Place
from registry_support.store_files import TREES, FolderOf, few, many, read, write

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


ATTRIBUTES = st.dictionaries(st.text(), JSON, max_size=3)


def comes_back(
    first: Place, second: Place, root: Path, tree: dict[str, bytes], attributes: dict[str, Any]
) -> None:
    """What goes into one place comes out of it, under the digest that it has in the other."""
    store, other = first.fresh().open(), second.fresh().open()
    one, two = write(root / "one", tree), write(root / "two", dict(reversed(tree.items())))

    kept = store.commit(one, kind="file", form="jsonl", attributes=attributes)
    repeated = other.commit(two, kind="file", form="jsonl", attributes=attributes)

    assert read(store.materialise(kept.digest)) == tree
    assert repeated.digest == kept.digest
    assert store.manifest(kept.digest) == kept
    assert kept.attributes == attributes
    assert kept.size_bytes == sum(map(len, tree.values()))


@pytest.mark.tier("check")
@many
@given(tree=TREES, attributes=ATTRIBUTES)
def test_any_tree_comes_back_from_a_folder_as_it_went_in_and_has_one_digest(
    tmp_path_factory: pytest.TempPathFactory,
    folder_place: FolderPlace,
    tree: dict[str, bytes],
    attributes: dict[str, Any],
) -> None:
    comes_back(folder_place, folder_place, tmp_path_factory.mktemp("tree"), tree, attributes)


@few
@given(tree=TREES, attributes=ATTRIBUTES)
def test_any_tree_comes_back_from_a_bucket_under_the_digest_that_a_folder_gives_it(
    tmp_path_factory: pytest.TempPathFactory,
    bucket_place: BucketPlace,
    folder_place: FolderPlace,
    tree: dict[str, bytes],
    attributes: dict[str, Any],
) -> None:
    comes_back(bucket_place, folder_place, tmp_path_factory.mktemp("tree"), tree, attributes)


def test_the_digest_covers_kind_form_origin_and_attributes(
    store: VerifyingStore, folder_of: FolderOf
) -> None:
    folder = folder_of({"a": b"1"})
    source = store.commit(folder, kind="file", form="jsonl").digest
    digests = {
        store.commit(folder, kind="dataset", form="jsonl").digest,
        store.commit(folder, kind="file", form="csv").digest,
        store.commit(folder, kind="file", form="jsonl", made_from={"base": source}).digest,
        store.commit(folder, kind="file", form="jsonl", attributes={"n": 1}).digest,
        store.commit(folder, kind="file", form="jsonl", attributes={"n": 1.0}).digest,
    }
    assert len(digests | {source}) == 6


@pytest.mark.tier("check")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "Model"}, "kind 'Model'"),
        ({"form": "../x"}, "form '../x'"),
        ({"made_from": {"base": "sha256:abc"}}, "made_from 'base'"),
        ({"made_from": {"Base!": "sha256:" + "0" * 64}}, "made_from 'Base!'"),
        ({"attributes": {"x": float("nan")}}, "not plain JSON"),
        ({"attributes": {"x": object()}}, "not plain JSON"),
        ({"attributes": {"x": {1: "one"}}}, "attributes.x has the key 1"),
    ],
)
def test_a_malformed_commit_is_refused_and_leaves_nothing(
    store: VerifyingStore, place: Place, folder_of: FolderOf, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=r".*") as caught:
        store.commit(folder_of({"a": b"1"}), **({"kind": "file", "form": "jsonl"} | changes))

    assert said in caught.value.message
    assert place.names() == []


def test_an_empty_folder_a_missing_one_and_a_link_to_one_are_refused(
    store: VerifyingStore, tmp_path: Path, folder_of: FolderOf
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder_of({"a": b"1"}))
    for folder in (folder_of({}), tmp_path / "missing", link):
        with pytest.raises(InvalidInputError):
            store.commit(folder, kind="file", form="jsonl")


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:" + "A" * 64, "sha256:../../etc/passwd", "0" * 64]
)
def test_what_is_no_digest_is_not_found(store: VerifyingStore, digest: str) -> None:
    for ask in (store.manifest, store.materialise, store.verify):
        with pytest.raises(NotFoundError):
            ask(digest)


def test_a_digest_nobody_committed_is_not_found(store: VerifyingStore) -> None:
    with pytest.raises(NotFoundError):
        store.materialise("sha256:" + "0" * 64)
