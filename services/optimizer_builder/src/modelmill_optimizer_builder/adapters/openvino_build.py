"""Steps that all OpenVINO forms share: merge, export, compress the weights, check, measure."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.comparison import check_special_tokens

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.openvino_export import MODEL_FILE, export_bf16
from modelmill_optimizer_builder.adapters.openvino_lookup import choose_lookup
from modelmill_optimizer_builder.adapters.openvino_parity import logit_distances, served_logits
from modelmill_optimizer_builder.adapters.openvino_scorer import OpenVinoScorer, text_likelihoods
from modelmill_optimizer_builder.adapters.openvino_speed import OpenVinoSpeed
from modelmill_optimizer_builder.adapters.openvino_tokenizer import (
    check_tokenizer,
    read_by_engine,
    write_tokenizer,
)
from modelmill_optimizer_builder.adapters.prepared_source import (
    PreparedSource,
    WeightForm,
    prepare_source,
)
from modelmill_optimizer_builder.adapters.speed_rounds import NEW_TOKENS, rates_by_round
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_configs
from modelmill_optimizer_builder.domain.likelihoods import Likelihoods
from modelmill_optimizer_builder.domain.parity import check_export, check_quantised
from modelmill_optimizer_builder.make_build import FormRequest, Side, Source
from modelmill_optimizer_builder.read_general_text import Texts

WEIGHTS_FILE = "openvino_model.bin"


class OpenVinoBuilder(ABC):
    """Exports once: the bf16 IR is both the reference and the input of the compression."""

    form: ClassVar[WeightForm]

    @abstractmethod
    def compress(
        self, source: Path, target: Path, merged: Path, request: FormRequest
    ) -> Mapping[str, Any]:
        """Write the bf16 IR `source` with smaller weights to `target`; returns how.

        Each has its `.bin` file next to it. `merged` is the same model as Hugging Face has them.
        """

    def make(self, request: FormRequest) -> "OpenVinoBuildPair":
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        target, report = request.target, request.report
        reference = request.scratch / "reference"
        target.mkdir(parents=True)
        prepared = prepare_source(request)

        report("export", 0, 0, "")
        export_bf16(prepared.merged, reference)
        prepared.merged.release()

        report("quantise", 0, 0, "")
        method = self.compress(
            reference / MODEL_FILE, target / MODEL_FILE, prepared.folder, request
        )
        shutil.rmtree(prepared.folder)
        _complete(request.source, reference, target)

        report("check", 0, 0, "")
        check_tokenizer(target)
        probe = prepared.probe
        check_export(logit_distances(reference / MODEL_FILE, probe))
        check_quantised(logit_distances(target / MODEL_FILE, probe), self.form.tolerance)
        check_built(prepared.goldens, target, self.form)
        prepared.goldens.goldens.write(target)

        report("measure", 0, 0, "")
        longest = prepared.context_tokens - NEW_TOKENS
        asked = [prompt for prompt in request.open_prompts if len(prompt) <= longest]
        figures = choose_lookup(
            target,
            asked,
            lambda done, total: report("measure", done, total, "prompt"),
            request.prompt_lookup,
        )
        return OpenVinoBuildPair(self.form, reference, target, prepared, method, figures)


def _complete(source: Source, reference: Path, target: Path) -> None:
    """Give both folders what an engine needs besides the model."""
    copy_configs(reference, target)
    write_tokenizer(source.tokenizer, target)
    _copy_engine_tokenizer(target, reference)


def check_built(goldens: GoldenCheck, target: Path, form: WeightForm) -> None:
    """Verify that a finished build encodes and answers the golden prompts as its source does.

    Raises:
        ParityError: It does not; the code names the fault.
        LimitError: A tokenizer exceeded its time or memory limit.
    """
    goldens.check_folder(target, form=form.name)
    texts = [*goldens.goldens.special_tokens, *(each.text for each in goldens.goldens.prompts)]
    encode = dict(zip(texts, read_by_engine(target, texts), strict=True)).__getitem__
    check_special_tokens(goldens.goldens, encode, form=f"the engine's tokenizer of {form.name}")
    goldens.count_prompts(encode)
    rows = served_logits(target / MODEL_FILE, *goldens.goldens.spoken)
    goldens.check_logits(rows, form.limit, form=f"{form.name}, as served")


def _copy_engine_tokenizer(source: Path, target: Path) -> None:
    """The engine loads no model without a tokenizer."""
    for path in source.glob("openvino_*tokenizer.*"):
        shutil.copyfile(path, target / path.name)


class OpenVinoBuildPair:
    """An IR with smaller weights, and the bf16 IR that it was made from."""

    def __init__(
        self,
        form: WeightForm,
        reference: Path,
        built: Path,
        prepared: PreparedSource,
        method: Mapping[str, Any],
        figures: Mapping[str, float],
    ) -> None:
        self.names: Mapping[Side, str] = {"reference": "bf16", "built": form.weights}
        self._folders: dict[Side, Path] = {"reference": reference, "built": built}
        self.reference_bytes = prepared.reference_bytes
        self.built_bytes = sum(path.stat().st_size for path in built.glob("openvino_model.*"))
        self.weights_bytes = (built / WEIGHTS_FILE).stat().st_size
        self.context_tokens = prepared.context_tokens
        self.method = method
        self.parity: Mapping[str, Any] = prepared.goldens.record()
        self.made_figures = {**prepared.goldens.figures(), **figures}

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        return OpenVinoScorer(self._folders[side] / MODEL_FILE).scores(questions)

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        return text_likelihoods(self._folders[side] / MODEL_FILE, texts)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        engines = {side: OpenVinoSpeed(folder) for side, folder in self._folders.items()}
        return rates_by_round(engines, prompts, self.context_tokens, on_round)
