"""The child process that looks into files for the service: one request a line, one answer each.

What strangers uploaded is decoded here and not in the service: a file that brings a decoder down,
or wants all memory, costs its own answer, and that only when it does so twice. It also keeps the
libraries that decode out of the service.
"""

import json
import os
import resource
import sys
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.pipeline.worker_parts import stages_of
from modelmill_data_prep.previews import look

MEMORY_BYTES = 8 << 30
"""Address space, of which libraries reserve more than they use."""


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
        return {"answer": look(request, stages_of)}
    except InvalidInputError as error:
        return {"errors": error.errors}
    except MemoryError:
        return {"errors": ["the file takes too much memory to be looked at"]}


if __name__ == "__main__":
    main()
