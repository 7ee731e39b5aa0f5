"""One side of `tests.bench.slowdown`: a stack of one checkout, measured by that checkout's bench.

Started by the path of this file with the Python of the checkout, in its folder, which also is on
PYTHONPATH: so each import is of that tree, before or after. Arguments: what is served (`decode`: a
loaded model; `front`: a gateway before a mock of inference) and the folder of an OpenVINO build.
Question of decode: {"prompts", "in_flight"}; of front: {"requests"}. Answer: figures by name.
"""

import argparse
import asyncio
import importlib
import importlib.util
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.progress import Progress

FRONT_PACKAGES = ("tests.bench.gateway", "tests.bench.front_door")
"""Where `front.*` is measured, now and formerly."""


async def decode(model: Path, stack: AsyncExitStack) -> Any:
    """The figures of one turn: the path of tokens through the whole stack."""
    from tests.bench.decode_path import path_figures
    from tests.bench.serving import serving
    from tests.bench.worker import running

    served = await stack.enter_async_context(serving("slowdown", model))
    client = await stack.enter_async_context(running("load_client"))

    async def turn(asked: dict[str, Any]) -> Mapping[str, float]:
        return await path_figures(client, served, asked["prompts"], asked["in_flight"])

    return turn


async def front(model: Path, stack: AsyncExitStack) -> Any:
    """The figures of one turn: what the gateway adds before a model, a first token, the rate."""
    from tests.bench.gateway_latency import echo_process
    from tests.bench.harness import Run
    from tests.bench.serving import serving
    from tests.bench.worker import running

    package = next(one for one in FRONT_PACKAGES if importlib.util.find_spec(one))
    sides = importlib.import_module(f"{package}.sides")
    below = package.removeprefix("tests.bench.")
    enter = stack.enter_async_context
    upstream = await enter(echo_process(f"{below}.mock_upstream"))
    overrides = {
        "GATEWAY_INFERENCE_ADDRESS": f"127.0.0.1:{upstream.ports['grpc']}",
        "GATEWAY_OTLP_ENDPOINT": "",
    }
    served = await enter(serving("slowdown", model, overrides=overrides, load=False))
    names = ("load_client", f"{below}.stream_load", f"{below}.grpc_load")
    progress = Progress(disable=True)

    class ManyFirstTokens(Run):
        """`front.ttft.p99` asks for 60, of which a p99 is the slowest."""

        def pick(self, full: int, quick: int) -> int:
            return 3 * full

    run = ManyFirstTokens(progress, progress.add_task(""))
    turns = sides.Turns(run, *[await enter(running(name)) for name in names])
    await asyncio.to_thread(sides._drop_rules, served)
    ours = sides.HttpSide(served.port, served.token, served.version_id, served)

    async def turn(asked: dict[str, Any]) -> Mapping[str, float]:
        requests = asked["requests"]
        mine = await turns.over_http(ours, requests, frozenset({"added", "ttft", "rate"}))
        bare = await turns.over_grpc(upstream.ports["grpc"], requests)
        added = {name: mine[name] - bare[name] for name in bare}
        return added | {"rate": mine["rate"]}

    return turn


async def main() -> None:
    """Serve, then answer until there are no more questions."""
    from tests.bench.worker import Bench

    parser = argparse.ArgumentParser()
    parser.add_argument("served", choices=("decode", "front"))
    parser.add_argument("model", type=Path)
    given = parser.parse_args()
    bench = Bench()
    async with AsyncExitStack() as stack:
        turn = await {"decode": decode, "front": front}[given.served](given.model, stack)
        # The stack's logs are read meanwhile.
        while (question := await asyncio.to_thread(bench.question)) is not None:
            bench.answer(await turn(question))


if __name__ == "__main__":
    asyncio.run(main())
