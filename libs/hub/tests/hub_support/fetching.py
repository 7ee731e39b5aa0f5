"""A process that downloads `hf://org/tiny` and prints the folder; to be killed meanwhile."""

import sys
from pathlib import Path

from modelmill_hub.address import HubAddress
from modelmill_hub.fetch import Fetcher
from modelmill_hub.hugging_face import HuggingFaceHub

if __name__ == "__main__":
    endpoint, root = sys.argv[1:]
    fetcher = Fetcher(HuggingFaceHub(endpoint, "hf_reader"), Path(root))
    print(fetcher.model(HubAddress.parse("hf://org/tiny")).folder)
