"""A worker of chain jobs that faults may strike: `python -m tests.chaos.worker OPTIONS`.

The handler is that of libs/jobs' own tests, whose `support` folder is on PYTHONPATH.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from chain_worker import ChainHandler, die
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.bus import Bus
from modelmill_jobs.worker import Worker
from modelmill_service_kit.bus_access import NkeySeed
from modelmill_service_kit.errors import DomainError


class HeedlessBus(Bus):
    """The control: a job's state is written whoever wrote it last."""

    async def publish(
        self,
        subject: str,
        body: Message,
        *,
        msg_id: str | None = None,
        expect_last: int | None = None,
        kept_seconds: float | None = None,
    ) -> int:
        """As `Bus.publish`, but without compare-and-set of a job's state."""
        expected = None if isinstance(body, JobState) else expect_last
        return await super().publish(
            subject, body, msg_id=msg_id, expect_last=expected, kept_seconds=kept_seconds
        )


def die_if_told(order: Path) -> Callable[[], None]:
    """Ends the process as `kill -9` would if the file `order` is there; takes the file along."""

    def look() -> None:
        if order.exists():
            order.unlink()
            die()

    return look


async def main() -> None:
    options = json.loads(sys.argv[1])
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    kind = Bus if options["compare_and_set"] else HeedlessBus
    seed = os.environ.get("NATS_NKEY_SEED_FILE")
    credential = NkeySeed(Path(seed)) if seed else os.environ["NATS_TOKEN"]
    async with kind.connect(options["url"], credential, name="trainer") as bus:
        worker = Worker(
            bus,
            [ChainHandler(Path(options["store"]))],
            service="trainer",
            work_root=Path(options["work_root"]),
            claim_seconds=options["claim_seconds"],
            retry_seconds=0.2,
            after_commit=die_if_told(Path(options["order_to_die"])),
        )
        await worker.run(stopping)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except DomainError as error:
        sys.exit(str(error))
