"""Prints each new model version once: set NATS_URL and NATS_NKEY_SEED_FILE.

Needs nats-py[nkeys] and nothing of Modelmill; the identity `observer` may hear this and nothing
else. `/asyncapi.json` of the gateway says what a message holds.
"""

import asyncio
import json
import os
import sys

import nats
import nkeys


async def report(error: Exception) -> None:
    print(f"not connected: {error or type(error).__name__}", file=sys.stderr)


async def main(url: str, seed_file: str) -> None:
    client = await nats.connect(url, nkeys_seed=seed_file, error_cb=report)
    subscription = await client.subscribe("model.ready")
    seen: set[str] = set()  # an announcement may come twice
    async for message in subscription.messages:
        model = json.loads(message.data)
        if model["version_id"] not in seen:
            seen.add(model["version_id"])
            shown = (model["version_id"], model["form"], model["digest"])
            print(*shown, model.get("metrics", {}), flush=True)


try:
    asyncio.run(main(os.environ["NATS_URL"], os.environ["NATS_NKEY_SEED_FILE"]))
except KeyError as missing:
    sys.exit(f"set {missing.args[0]}: docs/how-to/events.md shows its value")
except (OSError, ValueError, nats.errors.Error, nkeys.NkeysError) as error:
    sys.exit(f"cannot subscribe: {error}; check NATS_URL and NATS_NKEY_SEED_FILE")
