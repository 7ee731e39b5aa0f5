"""Creates the configured trackers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from modelmill_trainer.settings import Settings
from modelmill_trainer.tracking.mlflow import Mlflow
from modelmill_trainer.tracking.tensorboard import TensorBoard
from modelmill_trainer.tracking.tracker import Tracker


@asynccontextmanager
async def trackers_of(settings: Settings) -> AsyncIterator[list[Tracker]]:
    """Trackers for use within the block; none is contacted before a job runs."""
    trackers: list[Tracker] = []
    async with AsyncExitStack() as stack:
        if settings.mlflow_url:
            token = settings.mlflow_token.get_secret_value()
            client = httpx.AsyncClient(
                base_url=settings.mlflow_url,
                headers={"authorization": f"Bearer {token}"} if token else {},
            )
            await stack.enter_async_context(client)
            trackers.append(Mlflow(client, settings.mlflow_experiment))
        if settings.tensorboard_folder is not None:
            trackers.append(TensorBoard(settings.tensorboard_folder))
        yield trackers
