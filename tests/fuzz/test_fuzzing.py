"""The fuzzer itself: what it gives parsers, and that nothing that fails goes unnoticed."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from subprocess import run

import pytest
from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz import fuzzing
from tests.fuzz.child import CURRENT, TALLY
from tests.fuzz.fuzzing import fuzz
from tests.fuzz.parsers import PARSERS
from tests.fuzz.tally import FuzzError, Tally
from tests.fuzz.watching import fuzz_apart

INPUTS = 40


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where inputs that fail are kept."""
    folder = tmp_path / "failed"
    monkeypatch.setattr(fuzzing, "FAILED", folder)
    return folder


class Picky:
    """Refuses odd numbers, and breaks on what begins with a 7."""

    def make(self, random: Random) -> bytes:
        return b"%d" % random.randrange(1000)

    def execute(self, path: Path) -> int:
        text = path.read_text()
        if text.startswith("7"):
            raise FuzzError("a seven")
        if int(text) % 2:
            raise InvalidInputError("odd")
        return 1


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_keeps_its_promises_and_some_inputs_get_through(name: str, tmp_path: Path):
    parser, random = PARSERS[name], Random(name)
    found = refused = 0
    for _ in range(INPUTS):
        content = parser.make(random)
        (tmp_path / "input").write_bytes(content)
        try:
            found += parser.execute(tmp_path / "input")
        except InvalidInputError:
            refused += 1
        assert (tmp_path / "input").read_bytes() == content
    assert found > 0
    assert refused < INPUTS


def test_a_failure_is_counted_told_once_and_its_input_is_kept(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tally = fuzz("picky", Picky(), 0.3, "0", tmp_path / "current")

    assert tally.executions > tally.failures > 1
    assert tally.executions == tally.refused + tally.rows + tally.failures
    (input_,) = kept.iterdir()
    assert input_.suffix == ".picky"
    assert input_.read_text().startswith("7")
    assert capsys.readouterr().out.count("FAILED") == 1


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)", "signal.pause()"]
)
def test_a_process_that_dies_or_hangs_is_a_failure_and_another_goes_on(
    end: str, kept: Path, tmp_path: Path
):
    dying = f"import os, signal, sys; open(sys.argv[1], 'w').write('last words'); {end}"
    whole = json.dumps(asdict(Tally(executions=5, seconds=0.2)))
    ending = f"import sys; open(sys.argv[1], 'w').write('{whole}')"

    def command(seconds: float, seed: str, folder: Path) -> Sequence[str]:
        is_first = seed == "9.0"
        code, file = (dying, CURRENT) if is_first else (ending, TALLY)
        return sys.executable, "-S", "-c", code, str(folder / file)

    tally = fuzz_apart("doomed", 0.2, 9, command, grace=2.0)

    assert (tally.executions, tally.failures) == (5, 1)
    assert [file.read_text() for file in kept.iterdir()] == ["last words"]


@pytest.mark.tier("test")
def test_a_parser_may_not_take_all_memory():
    taking = "from tests.fuzz.fuzzing import *; bound_memory(); bytearray(MEMORY_BYTES + (1 << 20))"

    ended = run([sys.executable, "-c", taking], check=False, capture_output=True)

    assert b"MemoryError" in ended.stderr
