"""Which files of a repository are wanted: weights as safetensors, and what goes with them.

Files are chosen by a list of names, so that pickles, scripts and weights of other frameworks are
never asked for. A repository that has nothing else is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from modelmill_hub.errors import HostileRepositoryError, MissingFileError, PickleOnlyError
from modelmill_hub.repository import RemoteFile, Repository

Form = Literal["model", "adapter", "gguf"]

SMALL = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "chat_template.json", "vocab.json"),
    *("chat_template.jinja", "additional_chat_templates/*.jinja", "merges.txt"),
    *("adapter_config.json", "model.safetensors.index.json"),
    *("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"),
)
"""Configuration, tokenizer, template, card and licence."""
TEXTS = (".md", ".txt", "")
"""Suffixes of a licence."""
MOST_SMALL_BYTES = 128 << 20
"""Of one such file; the largest tokenizers have some tens of megabytes."""
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5", ".msgpack", ".ot")
_USUAL_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_SHARDS_OF_OTHERS = re.compile(r"consolidated.*|adapter_model.*")
TABLES = (".parquet",)
MOST_TABLES = 64


@dataclass(frozen=True)
class ChosenFiles:
    """What is to be downloaded."""

    form: Form
    small: tuple[RemoteFile, ...]
    """Everything but weights; first, so that it is judged before gigabytes come."""
    weights: tuple[RemoteFile, ...]


def choose_model(repository: Repository) -> ChosenFiles:
    """The files of a model, an adapter or, where the address names one, a GGUF file.

    Raises:
        MissingFileError: There are no weights, or not the file that the address names.
        PickleOnlyError: The weights are pickles, or of frameworks whose files may hold code.
        HostileRepositoryError: A configuration is larger than any.
    """
    path = repository.address.path
    small = tuple(each for each in repository.files if _is_small(each.path))
    if large := [each.path for each in small if each.size > MOST_SMALL_BYTES]:
        raise HostileRepositoryError(
            [f"{each} is larger than {MOST_SMALL_BYTES >> 20} MB" for each in large]
        )
    if path:
        return ChosenFiles("gguf", _texts(small), (_named_gguf(repository),))
    own = {each.path: each for each in repository.files}
    if ADAPTER_CONFIG in own and ADAPTER_WEIGHTS in own:
        return ChosenFiles("adapter", small, (own[ADAPTER_WEIGHTS],))
    if weights := _weights(repository.files):
        return ChosenFiles("model", small, weights)
    ggufs = [each for each in repository.files if each.path.lower().endswith(".gguf")]
    if len(ggufs) == 1:
        return ChosenFiles("gguf", _texts(small), (ggufs[0],))
    raise _no_weights(repository, ggufs)


def choose_tables(repository: Repository) -> tuple[RemoteFile, ...]:
    """The Parquet files of a dataset, or those below the path that the address names.

    Raises:
        MissingFileError: There are none, or too many for one dataset.
    """
    path = repository.address.path
    tables = [each for each in repository.files if each.path.lower().endswith(TABLES)]
    chosen = [each for each in tables if _is_below(each.path, path)]
    address = repository.address
    if not chosen:
        there = f" It has {_listed(tables)}" if tables else ""
        raise MissingFileError(
            f"{address} has no Parquet file{' there' if path else ''}.{there or _CONVERTED}"
        )
    if len(chosen) > MOST_TABLES:
        raise MissingFileError(
            f"{address} has {len(chosen)} Parquet files, and a dataset takes {MOST_TABLES}. Name"
            f" a folder or file of it, as in {address.source}/{chosen[0].path}"
        )
    return tuple(sorted(chosen, key=lambda each: each.path))


_CONVERTED = " Give the revision refs/convert/parquet, where the hub keeps its conversions"


def _is_small(path: str) -> bool:
    is_named = any(fnmatchcase(path, pattern) for pattern in SMALL)
    is_text = "/" in path or path.endswith((".json", ".jinja", "merges.txt"))
    # "LICENSE*" must not bring a script or a pickle of that name.
    return is_named and (is_text or PurePosixPath(path).suffix in TEXTS)


def _texts(small: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Card and licence: a GGUF file has the rest in it."""
    return tuple(each for each in small if PurePosixPath(each.path).suffix in (".md", ".txt", ""))


def _weights(files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Safetensors beside config.json: the one whole file, or else all shards."""
    beside = [
        each
        for each in files
        if "/" not in each.path
        and each.path.endswith(".safetensors")
        and not _SHARDS_OF_OTHERS.fullmatch(each.path)
    ]
    usual = [each for each in beside if _USUAL_WEIGHTS.fullmatch(each.path)]
    whole = [each for each in usual if each.path == "model.safetensors"]
    return tuple(whole or usual or beside)


def _named_gguf(repository: Repository) -> RemoteFile:
    address = repository.address
    file = repository.file(address.path)
    if file is None or not file.path.lower().endswith(".gguf"):
        ggufs = [each for each in repository.files if each.path.lower().endswith(".gguf")]
        raise MissingFileError(
            f"{address.source} has no GGUF file {address.path!r}."
            f" {f'It has {_listed(ggufs)}' if ggufs else f'Give {address.source} alone'}"
        )
    return file


def _no_weights(repository: Repository, ggufs: Sequence[RemoteFile]) -> Exception:
    address = repository.address
    if ggufs:
        return MissingFileError(
            f"{address} has several GGUF files. Name one, as in {address}/{ggufs[0].path}; there"
            f" are {_listed(ggufs)}"
        )
    pickles = [each for each in repository.files if each.path.lower().endswith(PICKLES)]
    if pickles:
        return PickleOnlyError(
            f"{address} has its weights as {_listed(pickles)} alone, which may run code when they"
            " are loaded. Ask its owner for safetensors, or give another revision"
        )
    return MissingFileError(
        f"{address} has no .safetensors file beside config.json. Give a repository of a model for"
        " transformers"
    )


def _listed(files: Sequence[RemoteFile]) -> str:
    names = [each.path for each in files[:4]]
    return ", ".join([*names, *(["…"] if len(files) > len(names) else [])])


def _is_below(path: str, folder: str) -> bool:
    is_inside = path == folder or path.startswith(f"{folder}/")
    return not folder or is_inside or fnmatchcase(path, folder)
