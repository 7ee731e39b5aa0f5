"""What the work process of a training imports, and what it does without."""

import sys
from pathlib import Path

import pytest
from modelmill_jobs.child import ChildPort
from modelmill_trainer import child
from modelmill_trainer.training import fine_tune as fine_tune_module

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(("method", "is_there"), [("lora", False), ("qlora", True)])
def test_bitsandbytes_is_left_to_trainings_in_four_bits(
    method: str, is_there: bool, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"hyper_parameters": {"method": method}, "base_folder": str(tiny_base)}
    monkeypatch.setattr(
        fine_tune_module,
        "fine_tune",
        lambda _port: {"is_there": sys.modules.get("bitsandbytes", True) is not None},
    )
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)

    try:
        found = child.train(ChildPort(request, tmp_path, report_fd=-1))
    finally:
        sys.modules.pop("bitsandbytes", None)

    assert found == {"is_there": is_there}
