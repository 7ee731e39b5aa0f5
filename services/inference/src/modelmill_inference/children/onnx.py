"""Child process of the onnx engine."""

from pathlib import Path
from typing import Any

from modelmill_inference.children.onnx_model import OnnxModel
from modelmill_inference.children.round_robin import AnswerMask, RoundRobinRunner
from modelmill_inference.children.runner import serve


class LateGrammars:
    """Imports XGrammar for the first constrained answer, since it brings torch."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._grammars: Any = None

    def mask(self, grammar: str, end_tokens: list[int]) -> AnswerMask:
        """See `token_grammar.Grammars`."""
        if self._grammars is None:
            from modelmill_inference.children.token_grammar import Grammars

            self._grammars = Grammars(self._folder, self._vocabulary)
        mask: AnswerMask = self._grammars.mask(grammar, end_tokens)
        return mask


def open_runner(load: dict[str, Any]) -> RoundRobinRunner:
    """Create the runner from a load message; any exception rejects the model."""
    folder = Path(load["folder"])
    if load["adapter"]:
        raise ValueError("ONNX builds run no adapters: build the adapter itself")
    model = OnnxModel(folder, load["threads"])
    return RoundRobinRunner(model, load["cache_bytes"], LateGrammars(folder, model.vocabulary).mask)


if __name__ == "__main__":
    serve(open_runner)
