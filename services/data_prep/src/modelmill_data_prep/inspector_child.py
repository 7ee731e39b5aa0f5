"""Child process of the file inspector: reads requests and writes answers as JSON lines.

Untrusted files are decoded here, so that a file that crashes a decoder or exhausts memory only
fails its own request. It also keeps decoding libraries out of the service process.
"""

import json
import os
import resource
import sys
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.pipeline.worker_parts import stages_of
from modelmill_data_prep.previews import inspect

MEMORY_BYTES = 8 << 30
"""Address-space limit; libraries reserve more than they use."""


def main() -> None:
    """Serve until the service closes the pipe."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    with os.fdopen(int(sys.argv[1]), "wb") as answers:
        for line in sys.stdin.buffer:
            answer = json.dumps(_answer(json.loads(line)), ensure_ascii=False)
            answers.write(answer.encode("utf-8", "replace") + b"\n")
            answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": inspect(request, stages_of)}
    except InvalidInputError as error:
        return {"errors": error.errors}
    except MemoryError:
        return {"errors": ["inspecting the file takes too much memory. Upload a smaller file"]}


if __name__ == "__main__":
    main()
