"""triton.hop: tokens a second of the triton engine over the openvino engine, over their own API.

Value: generated tokens / seconds, 8 requests in flight, closed loop. Numerator of the ratio: the
triton engine, a Triton server from the wheel on this machine, whose model hosts the runner.
Denominator (the floor): the openvino engine, the same runner in the service's own child process.
The same build, pipeline options, prompts and 64 new tokens at most, greedy; each side in a process
of its own, given token ids, text never made. What is between them is gRPC, Triton, its Python
backend, and numpy 1.26 instead of 2. Needs the environment of `make triton-test`; without it the
entry says so.
"""

from contextlib import AsyncExitStack

from tests.bench.built_model import NotBuiltError, built_model
from tests.bench.decode_path import NEW_TOKENS, RATE, Prompts
from tests.bench.figures import Figures, Goal, Line
from tests.bench.harness import WORK_FOLDER, Group, Measure, Run
from tests.bench.worker import Worker, running
from tests.triton.running import PYTHON, ROOT, TOKEN, running_triton

ENTRY = "triton.hop"
IN_FLIGHT = 8
REQUESTS = 24
GOAL = 0.9
EXPECTED_SECONDS = 75.0
PREPARE_SECONDS = 15.0
PIECE = "tokens a piece"


async def measure(run: Run) -> list[Line]:
    """The entry, or why there is none."""
    if not PYTHON.exists():
        raise NotBuiltError(
            f"no Triton here: `make {PYTHON.parent.parent.relative_to(ROOT)}/installed` gets one"
        )
    model = await built_model(run)
    folder = str(model.int8.resolve())
    async with AsyncExitStack() as stack:
        triton = stack.enter_context(running_triton(WORK_FOLDER / "triton.log"))
        server = (triton.url, TOKEN)
        ours = await stack.enter_async_context(running("engine_driver", "triton", folder, *server))
        floor = await stack.enter_async_context(running("engine_driver", "openvino", folder))
        many = run.pick(REQUESTS, IN_FLIGHT)
        contestants: dict[str, Measure] = {
            "ours": _turns(ours, many),
            "floor": _turns(floor, many),
        }
        rounds = await run.interleaved(ENTRY, contestants, seconds=EXPECTED_SECONDS, steady=[RATE])
    return [
        rounds.line(
            ENTRY,
            RATE,
            unit=RATE,
            against="the same engine in our own child process",
            goal=Goal(GOAL, at_least=True),
            note=(
                f"child {rounds.median('floor', RATE):.0f} tokens/s; tokens a piece "
                f"{rounds.median('ours', PIECE):.1f} and {rounds.median('floor', PIECE):.1f}"
            ),
        )
    ]


def _turns(worker: Worker, many: int) -> Measure:
    prompts = Prompts()

    async def turn() -> Figures:
        answer = await worker.ask(
            prompts=prompts.take(many), in_flight=IN_FLIGHT, max_new_tokens=NEW_TOKENS
        )
        tokens = answer["tokens"]
        return {RATE: tokens / answer["seconds"], PIECE: tokens / answer["pieces"]}

    return turn


GROUP = Group((ENTRY,), measure, EXPECTED_SECONDS + PREPARE_SECONDS)
