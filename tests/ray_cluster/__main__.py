"""`make ray-test`: the same dataset from this machine and from a cluster of two nodes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelmill_testkit.models import make_tiny_llama

from tests.ray_cluster.nodes import BIN, ROOT, Cluster, running_cluster

ROWS = 6_000
RUN_SECONDS = 180.0
TOKENS = {"max_tokens": 2_000, "pack_tokens": 2_048}
SPEC = {
    "name": "cluster",
    "mapping": {"user_template": "{q}", "answer_template": "{a}"},
    "seed": 7,
    "filter": {"preset": "standard", "thresholds": {"characters.min": 20}},
    "entities": {"actions": {"*": "pseudonymise"}},
    "duplicates": {"near_threshold": 0.8},
    "augment": {"steps": [{"method": "synonyms", "share": 0.1, "min_similarity": 0.2}]},
    "curriculum": {"order": "staged"},
    "tokenize": {"model": "mv-tiny"},
}


class Making:
    """Runs of `tests.ray_cluster.making`, each with a folder of its own."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        self._root = root
        self._cluster = cluster
        self._rows = root / "rows.jsonl"
        self._rows.write_text("\n".join(map(json.dumps, rows())))
        model = make_tiny_llama(root / "model")
        self._tokens = {"model": "mv-tiny", "folder": str(model), **TOKENS}

    def make(
        self, way: str, *, address: str = "", kill: int = 0, token: bool = True
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The answer, and the files by name."""
        folder = Path(tempfile.mkdtemp(dir=self._root)) / "dataset"
        asked = {
            **{"way": way, "kill": kill, "ray_address": address, "processes": 1, "spec": SPEC},
            "files": [{"path": str(self._rows), "format": "jsonl"}],
            **{"folder": str(folder), "max_row_bytes": 100_000, "pseudonym_key": "5a" * 32},
            "tokens": self._tokens,
        }
        environment = dict(self._cluster.environment)
        if not token:
            environment |= {"RAY_AUTH_TOKEN": "0" * 64}
            del environment["RAY_AUTH_TOKEN_PATH"]
        done = subprocess.run(
            [BIN / "python", "-m", "tests.ray_cluster.making"],
            **{"cwd": ROOT, "env": environment, "input": json.dumps(asked).encode()},
            **{"capture_output": True, "timeout": RUN_SECONDS, "check": False},
        )
        if done.returncode:
            raise SystemExit(f"{way} ended with {done.returncode}: {done.stderr.decode()[-3000:]}")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        answer = json.loads(done.stdout.splitlines()[-1])
        return answer, {str(file.relative_to(folder)): file.read_bytes() for file in files}


def rows() -> Iterator[Mapping[str, str]]:
    """With near duplicates, rows for the filter, and data of people who do not exist."""
    words = ["river", "stone", "paper", "window", "garden", "letter", "music", "harbour", "winter"]
    for n in range(ROWS):
        said = " ".join(words[n * step % 97 % len(words)] for step in range(1, 30))
        match n % 6:
            case 0:
                yield {"q": f"{said}: number {n}", "a": f"Write to ann{n}@company-{n % 9}.com."}
            case 1:
                yield {"q": f"{said}: number {n - 1}!", "a": f"Write to ann{n}@company.com."}
            case 2:
                yield {"q": "a", "a": "b"}
            case 3:
                yield {"q": f"电话 1381234{n:04d} 是谁的？ {said}", "a": f"第 {n} 个人的。"}
            case 4:
                yield {"q": f"{said} {n * n}", "wrong": "no answer"}
            case _:
                yield {"q": f"Tell me about {n * 7919} and {said}", "a": str(n % 3)}


def check(cluster: Cluster, root: Path) -> Iterator[tuple[str, bool]]:
    """What must hold, and whether it does."""
    making = Making(root, cluster)
    expected, files = making.make("local")
    report = json.loads(files["report.json"])
    counts = report["counts"]
    yield (
        "the rows give every stage something to do",
        all(counts[f"rows_{name}"] for name in ("dropped", "duplicate", "quarantined"))
        and bool(report["entities"])
        and counts["rows_made"] > 0
        and "tokens/train.arrow" in files,
    )
    made, same = making.make("cluster", address=cluster.address)
    yield "a cluster makes the same Merkle root", made["root"] == expected["root"]
    yield "a cluster makes the same bytes of every file", same == files
    yield "both nodes work", len(set(made["nodes"])) == 2
    made, same = making.make("cluster", address=cluster.address, kill=1)
    yield "a worker that is killed changes nothing", same == files
    made, same = making.make("cluster", address=cluster.address, kill=2)
    yield (
        "with no worker left there is no dataset",
        (made.get("error") == "UNAVAILABLE" and "report.json" not in same),
    )
    _, here = making.make("job")
    made, same = making.make("job", address=cluster.client_address)
    yield "a job's child makes the same from outside of the cluster", same == here
    yield "a job's child can still be told to stop", made["signal_kept"]
    made, same = making.make("reluctant", address=cluster.address)
    yield "a client's server that comes up at the second try changes nothing", same == files
    made, same = making.make("strange", address=cluster.address)
    yield (
        "nodes with other code are refused",
        (made.get("error") == "FAILED_PRECONDITION" and not same),
    )
    made, same = making.make("cluster", address=cluster.address, token=False)
    yield "without the token nothing is made", made.get("error") == "UNAVAILABLE" and not same


def main() -> int:
    """Exit status: 1 when something does not hold."""
    if not (BIN / "ray").exists():
        print("there is no build/ray: run `make ray-test`", file=sys.stderr)
        return 2
    held, began = True, time.monotonic()
    # Sockets of Ray lie below, and their paths are bounded.
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder,
        running_cluster(Path(folder)) as cluster,
    ):
        for rule, holds in check(cluster, Path(folder)):
            print(f"{'ok  ' if holds else 'FAIL'} {rule} ({time.monotonic() - began:.0f} s)")
            held = held and holds
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
