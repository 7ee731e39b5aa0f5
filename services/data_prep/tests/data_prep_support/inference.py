"""A job's child that asks models through a parent in this process."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelmill_data_prep.adapters.parent_models import ParentModels
from modelmill_data_prep.model_requests import LOSS, TEXT, JobModelRequests
from modelmill_testkit.fake_inference import VERSION, FakeInference, inference_models


def parent_models(service: FakeInference, model: str = "base") -> ParentModels:
    """What a job's child has, with its parent in this process; answers come in no order."""
    versions = {(LOSS, model): VERSION, (TEXT, model): VERSION}
    answer = JobModelRequests(inference_models(service), "acme", versions)

    def ask(questions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
        async def answers() -> list[Any]:
            return list(await asyncio.gather(*map(answer, questions)))

        return reversed(list(enumerate(asyncio.run(answers()))))

    return ParentModels(ask)
