"""Loads a model on a server, says its name, and asks nothing more than a service at rest."""

import asyncio
import sys

from modelmill_inference.adapters import triton_peer
from modelmill_inference.adapters.triton import TritonAddress
from modelmill_inference.adapters.triton_peer import TritonPeer

from tests.triton.asking import OPTIONS
from tests.triton.running import TOKEN

triton_peer.EXPIRE_SECONDS = 3.0


async def main(url: str, folder: str) -> None:
    """Until it is killed."""
    peer = await TritonPeer.start(TritonAddress(url, TOKEN), "openvino")
    peer.send({"load": {"folder": folder, **OPTIONS.load_message()}})
    if "loaded" in await peer.receive():
        print(peer.name, flush=True)
    while True:
        await peer.receive()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
