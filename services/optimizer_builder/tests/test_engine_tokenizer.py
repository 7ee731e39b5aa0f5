"""The engine's tokenizer runs in a bounded process, so that no tokenizer can hang a build."""

from pathlib import Path

import pytest
from modelmill_optimizer_builder.adapters.openvino_tokenizer import (
    check_tokenizer,
    read_by_engine,
    write_tokenizer,
)
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.hostile_models import HOSTILE, wake_in_engines
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.bounded import LimitError
from modelmill_tokenization.bounded.call import CallLimits
from modelmill_tokenization.bounded.here import try_tokenizer

pytestmark = pytest.mark.heavy

LIMITS = CallLimits(cpu_seconds=4, memory_bytes=3 << 30)


def written(source: Path, folder: Path) -> Path:
    try_tokenizer(source)  # an import takes it
    folder.mkdir()
    write_tokenizer(source, folder)
    return folder


def test_the_engines_tokenizer_encodes_like_ours(tmp_path: Path) -> None:
    built = written(make_tiny_llama(tmp_path / "source"), tmp_path / "built")

    check_tokenizer(built, LIMITS)


def test_a_normalizer_that_exhausts_memory_in_the_engine_is_stopped(
    tmp_path: Path,
) -> None:
    HOSTILE["tokenizer: normalizer grows, sleeping"](tmp_path / "source")
    built = written(tmp_path / "source", tmp_path / "built")

    with pytest.raises(LimitError, match=r"CPU time|memory"):
        check_tokenizer(built, LIMITS)


def test_the_engine_does_not_render_the_chat_template_when_loading(tmp_path: Path) -> None:
    wake_in_engines(make_tiny_llama(tmp_path / "source"))
    built = written(tmp_path / "source", tmp_path / "built")

    assert read_by_engine(built, ["a word"], LIMITS)


def test_a_tokenizer_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    HOSTILE["tokenizer: split sleeps"](tmp_path / "source")

    with pytest.raises(InvalidInputError, match="not supported"):
        written(tmp_path / "source", tmp_path / "built")
