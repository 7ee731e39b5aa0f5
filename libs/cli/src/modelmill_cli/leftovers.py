"""Processes that a mill which was killed has left behind."""

import asyncio

from modelmill_service_kit.descendants import descendants, kill_descendants
from modelmill_service_kit.process_supervisor import LogLine

from modelmill_cli.state_folder import StateFolder

PATIENCE_SECONDS = 5.0
"""They know that their mill is gone and give their work back meanwhile."""
LOOK_SECONDS = 0.1


async def end_leftovers(state: StateFolder, on_line: LogLine) -> None:
    """Return once nobody works on the folder any more; whoever holds its lock may call it.

    Processes that do not end by themselves are killed: hung ones, and those whose own parents were
    killed with the mill.
    """
    left = await _count(state)
    if not left:
        return
    on_line("mill", f"waiting for what a killed mill left: {left} process(es)")
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        if not await _count(state):
            return
    killed = await asyncio.to_thread(kill_descendants, state.mark)
    on_line("mill", f"killed {killed} of them, which did not end")


async def _count(state: StateFolder) -> int:
    return len(await asyncio.to_thread(lambda: list(descendants(state.mark))))
