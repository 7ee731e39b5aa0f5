"""Ten thousand hostile requests, half past all checks into an engine, half through the service.

    python -m services.inference.tests.hostile [COUNT] [SEED]

From the repository's root; a tiny model is built first. Ends with 1 when a healthy request was
harmed or an engine died. Prints how each half ended, as JSON; what harm was done, to stderr.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from modelmill_registry.store import FolderStore
from modelmill_testkit.models import make_tiny_llama, make_tiny_openvino
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .storm import Outcome, storm_engine, storm_service


async def run(root: Path, count: int, seed: int) -> list[Outcome]:
    """Both storms, one after the other."""
    llama = make_tiny_llama(root / "llama")
    build = make_tiny_openvino(llama, root / "build")
    digest = (
        FolderStore(root / "artifacts").commit(build, kind="model", form="openvino-int8").digest
    )
    broker = root / "nats"
    broker.mkdir()
    into_engine = await storm_engine(build, ChatTokenizer.load(llama), count=count // 2, seed=seed)
    print(_line(into_engine), flush=True)
    through_service = await storm_service(
        digest, root / "artifacts", broker, count=count - count // 2, seed=seed
    )
    print(_line(through_service), flush=True)
    return [into_engine, through_service]


def _line(outcome: Outcome) -> str:
    for harm in outcome.harmed[:10]:
        print(harm, file=sys.stderr)
    counts = {
        "healthy": outcome.healthy,
        "harmed": len(outcome.harmed),
        "restarts": outcome.restarts,
    }
    return json.dumps({"hostile": outcome.hostile, **counts})


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = asyncio.run(run(Path(folder), wanted.count, wanted.seed))
    return int(any(outcome.harmed or outcome.restarts for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
