"""Prints each new model version once: NATS_URL=… NATS_TOKEN=… python deploy/demo/on_model_ready.py

Needs nats-py and nothing of Modelmill. `/asyncapi.json` of the gateway says what a message holds.
"""

import asyncio
import json
import os

import nats


async def main(url: str, token: str) -> None:
    client = await nats.connect(url, token=token)
    subscription = await client.subscribe("model.ready")
    seen: set[str] = set()  # an announcement may come twice
    async for message in subscription.messages:
        model = json.loads(message.data)
        if model["version_id"] not in seen:
            seen.add(model["version_id"])
            shown = (model["version_id"], model["form"], model["digest"])
            print(*shown, model.get("metrics", {}), flush=True)


asyncio.run(main(os.environ["NATS_URL"], os.environ["NATS_TOKEN"]))
