import subprocess
import sys
from pathlib import Path

PLUGIN = "modelmill_testkit.failures_at_once"


def test_a_failure_is_named_before_the_next_test_begins(tmp_path: Path):
    file = tmp_path / "test_two.py"
    file.write_text(
        "def test_first():\n    assert False\n\ndef test_second():\n    print('later')\n"
    )

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", PLUGIN, "-c", "/dev/null", str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )

    assert ended.returncode == 1
    named = ended.stdout.index("test_two.py::test_first (call)")
    assert named < ended.stdout.index("later")
