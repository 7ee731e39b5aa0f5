"""`make lint`: no message or procedure is changed so that the last release could not read it.

Wire and stream formats are the protos, and old and new versions run side by side in a rolling
upgrade. `buf breaking` compares the tree with the protos in deploy/releases of the version that
deploy/releases.json recorded last: a clone may lack tags, and a shallow one the commit.
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
    against = RECORD.with_suffix("") / f"{last['version']}.binpb"
    if not (root / against).is_file():
        print(
            f"buf breaking: there is no {against}, the protos of the last release. Take it from"
            f" its commit: git checkout {last['commit']}, and buf build -o {against}",
            file=sys.stderr,
        )
        return CANNOT
    buf = Path(sys.executable).with_name("buf")
    return subprocess.run([buf, "breaking", "--against", against], cwd=root).returncode


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
