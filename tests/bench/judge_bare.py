"""The floor of judge.where: the reading that inference's engine process does, in one's own process.

The same code, build, properties and token ids; no sockets, no queue, no text.

Argument: the build's folder. Question: {"windows", "labels", "instruction"}. Answer:
{"milliseconds"}, one for each window, of the reading alone.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from modelmill_inference.adapters.openvino import PipelineOptions
from modelmill_inference.children.openvino_reading import Reader
from modelmill_inference.children.runner import Slices
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.bench.worker import answer_all

T = TypeVar("T")


class BareJudge:
    """Reads one window after the other."""

    def __init__(self, folder: Path) -> None:
        self._reader = Reader({"folder": str(folder), **PipelineOptions().load_message()})
        self._tokenizer = ChatTokenizer.load(folder)

    def judge(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Score every window's labels."""
        labels = [self._tokenizer.encode(label) for label in asked["labels"]]
        milliseconds = []
        for window in asked["windows"]:
            prompt = self._tokenizer.encode_prompt(
                [
                    {"role": "system", "content": asked["instruction"]},
                    {"role": "user", "content": window},
                ]
            )
            began = time.perf_counter()
            read_out(self._reader.score(prompt, labels))
            milliseconds.append((time.perf_counter() - began) * 1e3)
        return {"milliseconds": milliseconds}


def read_out(slices: Slices[T]) -> T:
    """What comes of a reading, with nothing between its parts."""
    while True:
        try:
            next(slices)
        except StopIteration as ended:
            result: T = ended.value
            return result


if __name__ == "__main__":
    answer_all(BareJudge(Path(sys.argv[1])).judge)
