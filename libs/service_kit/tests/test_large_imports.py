"""A large import is not searched for garbage, neither while it goes on nor later."""

import gc
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from modelmill_service_kit import large_imports
from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes


def test_nothing_is_searched_while_it_goes_on_and_what_it_made_is_left_alone_later() -> None:
    before = gc.get_freeze_count()

    with large_import():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]

    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_after_an_import_that_fails_garbage_is_found_as_ever() -> None:
    with pytest.raises(ImportError), large_import():
        raise ImportError

    assert gc.isenabled()


def test_what_nobody_uses_is_not_there_while_it_goes_on_and_is_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unused_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(large_imports, "UNUSED", ("unused_library", "is_not_installed"))

    with large_import():
        assert find_spec("unused_library") is None
        with pytest.raises(ModuleNotFoundError):
            import_module("unused_library")

    assert import_module("unused_library") is sys.modules["unused_library"]
    with large_import():  # who has it already keeps it
        assert "unused_library" in sys.modules
        assert sys.modules["unused_library"] is not None
    monkeypatch.delitem(sys.modules, "unused_library")


@pytest.mark.parametrize(
    ("config", "is_left_out"),
    [('{"model_type": "llama"}', True), ('{"quantization_config": {}}', False), ("{", False)],
)
def test_bitsandbytes_is_left_out_unless_the_model_may_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, is_left_out: bool
) -> None:
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    sys.modules.pop("bitsandbytes", None)
    (tmp_path / "config.json").write_text(config)

    leave_out_bitsandbytes(tmp_path)

    assert ("bitsandbytes" in sys.modules) == is_left_out
