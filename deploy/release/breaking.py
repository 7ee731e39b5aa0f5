"""`make lint`: no message or procedure is changed so that the last release could not read it.

Wire and stream formats are the protos, and old and new versions run side by side in a rolling
upgrade. `buf breaking` compares the tree with the commit that deploy/releases.json recorded last.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path("deploy/releases.json")
CANNOT = 2


def main(root: Path = ROOT) -> int:
    """Compare; the status of buf (100 for a breaking change), or 2 where the release is away."""
    releases = json.loads((root / RECORD).read_text("utf-8"))["releases"]
    if not releases:
        print(f"buf breaking: {RECORD} records no release, so there is nothing to compare with")
        return 0
    last = releases[-1]
    commit = str(last["commit"])
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=root, capture_output=True
    )
    if known.returncode != 0:
        print(
            f"buf breaking: release {last['version']} is commit {commit}, which this clone lacks."
            f" Fetch it: git fetch origin {commit}",
            file=sys.stderr,
        )
        return CANNOT
    buf = Path(sys.executable).with_name("buf")
    against = f"{root / '.git'}#ref={commit}"
    return subprocess.run([buf, "breaking", "--against", against], cwd=root).returncode


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
