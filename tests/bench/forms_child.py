"""Processes of forms.*: torch and OpenVINO stay in them.

python -m tests.bench.forms_child merge BASE ADAPTER TARGET    base and adapter in one
python -m tests.bench.forms_child build REQUEST RESULT         one build, as the product makes it
python -m tests.bench.forms_child score ENGINE FOLDER QUESTIONS RESULT    a rival's weights

A line of JSON on stdout for each step: phase, units done, units in all.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.goldens import ParityError
from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry
from modelmill_optimizer_builder.child import load_form
from modelmill_optimizer_builder.domain.build_plan import NotExportableError, NotSmallerError
from modelmill_optimizer_builder.domain.int4_methods import method_named
from modelmill_optimizer_builder.domain.pruning import Pruning
from modelmill_optimizer_builder.make_build import (
    BuildOrder,
    BuildPair,
    FormRequest,
    MakeBuild,
    Side,
    Source,
    TargetForm,
)

OPENVINO_MODEL = "openvino_model.xml"
REFUSALS = (NotExportableError, NotSmallerError, ParityError)
"""What the product says of a build that it makes of no such model: a finding, no failure."""


def say(phase: str, done: int, total: int, _unit: str) -> None:
    """Tell the bench how far this is."""
    print(json.dumps({"phase": phase, "done": done, "total": total}), flush=True)


class KnownReference:
    """A build's pair whose reference is scored once for all builds: it is the same for all.

    Args:
        kept: File with the scores.
    """

    def __init__(self, pair: BuildPair, kept: Path) -> None:
        self._pair = pair
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pair, name)

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        """As the pair's, or as kept."""
        if side == "built":
            yield from self._pair.scores(side, questions)
            return
        if not self._kept.is_file():
            scores = []
            for found in self._pair.scores(side, questions):
                scores.append(list(map(float, found)))
                say("score bf16", len(scores), len(questions), "row")
            self._kept.write_text(json.dumps(scores))
        yield from json.loads(self._kept.read_text())


class FormOfBench:
    """A form whose pairs have a known reference."""

    def __init__(self, form: TargetForm, kept: Path) -> None:
        self._form = form
        self._kept = kept

    def make(self, request: FormRequest) -> Any:
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        return KnownReference(self._form.make(request), self._kept)


def merge(base: str, adapter: str, target: str) -> None:
    """Write base and adapter as one bf16 model with its tokenizer."""
    from modelmill_optimizer_builder.adapters.merged_model import MergedModel
    from modelmill_optimizer_builder.adapters.tokenizer_files import copy_tokenizer

    partial = Path(f"{target}.part")
    MergedModel.load(Path(base), Path(adapter)).save(partial)
    copy_tokenizer(Path(base), partial)
    partial.rename(target)


def build(request_file: str, result_file: str) -> None:
    """Make one build of a base or of an adapter, or say why it was refused."""
    request = json.loads(Path(request_file).read_text())
    form = load_form(request["form"])
    if request["method"]:
        form = type(form)([method_named(request["method"])])  # type: ignore[call-arg]
    order = BuildOrder(
        form=request["form"],
        source=Source(Path(request["base"]), _path(request["adapter"])),
        dataset=_path(request["dataset"]),
        choices=tuple(request["choices"]),
        max_rows=request.get("max_rows", 0),
        max_accuracy_loss=1.0,
        tuned=None,
        scratch=Path(request["scratch"]),
        target=Path(request["target"]),
        pruning=Pruning.of(request.get("pruning")),
    )
    started = perf_counter()
    result: dict[str, Any]
    try:
        made = MakeBuild(FormOfBench(form, Path(request["kept"])), say)(order)
    except REFUSALS as error:
        result = {"refused": str(error)}
    else:
        result = {"figures": made.figures, "method": made.method}
    result["seconds"] = perf_counter() - started
    Path(result_file).write_text(json.dumps(result))


def score(engine: str, folder: str, questions_file: str, result_file: str) -> None:
    """Answer the test rows with a rival's weights, as ours are asked."""
    content = json.loads(Path(questions_file).read_text())
    choices = tuple(map(tuple, content["choices"]))
    questions = [
        ChoiceQuestion(tuple(row["prompt"]), choices, row["answer"]) for row in content["rows"]
    ]
    correct, labels = [], []
    for question, scores in zip(questions, _scorer(engine)(Path(folder), questions), strict=True):
        correct.append(scores.index(max(scores)) == question.answer)
        labels.append(scores[question.answer])
        say("score", len(correct), len(questions), "row")
    Path(result_file).write_text(json.dumps({"correct": correct, "labels": labels}))


Scorer = Callable[[Path, Sequence[ChoiceQuestion]], Iterator[list[float]]]


def _scorer(engine: str) -> Scorer:
    if engine == "openvino":
        from modelmill_optimizer_builder.adapters.openvino_scorer import OpenVinoScorer

        return lambda folder, questions: OpenVinoScorer(folder / OPENVINO_MODEL).scores(questions)
    from modelmill_optimizer_builder.adapters.onnx_reader import choice_scores

    return lambda folder, questions: map(list, choice_scores(folder, questions))


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


COMMANDS: Mapping[str, Callable[..., None]] = {"merge": merge, "build": build, "score": score}


if __name__ == "__main__":
    forbid_telemetry()
    COMMANDS[sys.argv[1]](*sys.argv[2:])
