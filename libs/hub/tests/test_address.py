"""Addresses of hubs, as people write them."""

import pytest
from modelmill_hub.address import HubAddress
from modelmill_service_kit.errors import InvalidInputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "kind", "repository", "revision", "path"),
    [
        ("hf://org/name", "model", "org/name", "", ""),
        ("hf://models/org/name@main", "model", "org/name", "main", ""),
        (f"hf://org/name@{COMMIT}", "model", "org/name", COMMIT, ""),
        ("hf://org/name/q4.gguf", "model", "org/name", "", "q4.gguf"),
        ("hf://org/name@v1.0/sub/q4.gguf", "model", "org/name", "v1.0", "sub/q4.gguf"),
        ("hf://datasets/org/name@x", "dataset", "org/name", "x", ""),
        (
            "hf://datasets/org/name@refs/convert/parquet/default/train",
            *("dataset", "org/name", "refs/convert/parquet", "default/train"),
        ),
        ("ms://org/name@master", "model", "org/name", "master", ""),
        ("hf://gpt2", "model", "gpt2", "", ""),
    ],
)
def test_an_address_has_a_kind_a_repository_a_revision_and_a_path(
    text: str, kind: str, repository: str, revision: str, path: str
) -> None:
    found = HubAddress.parse(text)

    assert (found.kind, found.repository) == (kind, repository)
    assert (found.revision, found.path) == (revision, path)
    assert HubAddress.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("hf://", "hf://org/", "hf:///name", "hf://org/na me", "hf://org/name@", "hf://../name"),
        *("hf://org/../etc", "hf://org/name/../../x", "hf://org/name//x", "hf://org--x/name"),
        *("hf://org/name@main/../x", "hf://org/name.git", "hf://-org/name", "hf://org/a\nb"),
        *("https://huggingface.co/org/name", "s3://bucket/name", "://org/name"),
        *("hf://datasets/name", "hf://spaces/org/name"),
    ],
)
def test_anything_else_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(InvalidInputError, match="Write hf://"):
        HubAddress.parse(text)


def test_a_commit_alone_is_fixed() -> None:
    assert HubAddress.parse(f"hf://org/name@{COMMIT}").is_commit
    assert not HubAddress.parse("hf://org/name@main").is_commit
