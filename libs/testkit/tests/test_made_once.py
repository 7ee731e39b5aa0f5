"""What is made once: by whom, and what a failure leaves."""

import threading
from pathlib import Path

import pytest
from modelmill_testkit.made_once import kept_for_runs, made_once


def test_it_is_made_once_however_many_ask_for_it_at_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base_temp = tmp_path_factory.getbasetemp()
    made: list[Path] = []
    second_came = threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        if len(made) > 1:
            second_came.set()
        second_came.wait(0.3)
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("whole")

    def ask() -> None:
        asked.append((made_once(base_temp, "thing-of-many", make) / "file").read_text())

    asked: list[str] = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["whole"] * 8
    assert len(made) == 1


def test_what_failed_is_tried_again_from_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    base_temp = tmp_path_factory.getbasetemp()

    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise ValueError("no more space")

    with pytest.raises(ValueError, match="no more space"):
        made_once(base_temp, "thing-that-fails", fail)
    folder = made_once(base_temp, "thing-that-fails", lambda path: path.mkdir())
    assert list(folder.iterdir()) == []


def test_what_is_kept_is_made_anew_once_it_would_be_another(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("one")

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "file").write_text((source / "file").read_text() * 2)

    def kept() -> Path:
        return kept_for_runs(tmp_path / "kept", "thing", make, inputs=[source], packages=["pytest"])

    first = kept()
    made_at = first.stat().st_mtime_ns
    assert kept() == first
    assert first.stat().st_mtime_ns == made_at

    (source / "file").write_text("two")
    second = kept()
    assert (second / "file").read_text() == "twotwo"
    assert not first.exists()
