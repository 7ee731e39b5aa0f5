"""Steps that forms for other runtimes share: merge, write, read back, compare, score.

No engine here runs them, so that they are proven by what their files hold: every tensor is read
back, dequantised and compared with the source's, and a torch module with these weights answers the
goldens and the test rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.comparison import Limit
from modelmill_evaluation.parity.goldens import TENSOR_MISSING, WEIGHTS_DIFFER, ParityError
from modelmill_evaluation.parity.weights import WeightLimit, Weights, check_head, check_tensor

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.head_check import is_head_tied
from modelmill_optimizer_builder.adapters.merge_source import module_logits
from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.prepared_source import PreparedSource, prepare_source
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_configs, copy_tokenizer
from modelmill_optimizer_builder.adapters.torch_scorer import TorchSides
from modelmill_optimizer_builder.domain.likelihoods import Likelihoods
from modelmill_optimizer_builder.make_build import FormRequest, Report, Side, Source
from modelmill_optimizer_builder.read_general_text import Texts

HEAD, EMBEDDING = "lm_head.weight", "embed_tokens.weight"


@dataclass(frozen=True)
class PortableForm:
    """Name of a form, and how near it must stay to its source."""

    name: str
    weights: str
    """Its name in evaluation.json."""
    logits: Limit
    """Of a module with its weights, beside the goldens."""
    rounding: WeightLimit
    """Of each of its tensors."""


@dataclass(frozen=True)
class WrittenSizes:
    """Bytes of what was written."""

    files: int
    weights: int


@dataclass(frozen=True)
class Folders:
    """Where a form and its source lie."""

    reference: Path
    """The merged source as bf16 safetensors, with its tokenizer."""
    built: Path


class PortableBuilder(ABC):
    """Writes a form from the merged source as bf16 safetensors, and reads it back."""

    form: ClassVar[PortableForm]

    @abstractmethod
    def refuse(self, source: Source) -> None:
        """Refuse, before any work, what the form cannot hold.

        Raises:
            NotExportableError: The message says what, and why.
        """

    @abstractmethod
    def write(self, reference: Path, target: Path, report: Report) -> Mapping[str, Any]:
        """Write the form of a Hugging Face folder to `target`; returns how it was made."""

    @abstractmethod
    def sizes(self, target: Path) -> WrittenSizes:
        """Bytes of the files of the model, and of its weights alone."""

    @abstractmethod
    def tensors(self, target: Path, names: Sequence[str]) -> Iterator[tuple[str, Weights]]:
        """What the written files hold, dequantised, by the names of the source.

        Args:
            names: Of the source's tensors.
        """

    @abstractmethod
    def check_files(self, reference: Path, target: Path) -> None:
        """Verify what the files say besides weights: hyper-parameters, tokens, templates.

        Raises:
            ParityError: They are not the source's; the code names the fault.
        """

    def finish(self, target: Path, goldens: GoldenCheck) -> None:  # noqa: B027  few need it
        """Add files that are derived from the goldens."""

    def make(self, request: FormRequest) -> "PortableBuildPair":
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        source, target, report = request.source, request.target, request.report
        self.refuse(source)
        target.mkdir(parents=True)
        prepared = prepare_source(request)
        prepared.merged.release()
        folders, goldens = Folders(prepared.folder, target), prepared.goldens
        copy_tokenizer(source.tokenizer, folders.reference)

        report("quantise", 0, 0, "")
        method = self.write(folders.reference, target, report)
        if not (target / "config.json").is_file():
            copy_configs(folders.reference, target)
        copy_tokenizer(folders.reference, target)

        report("check", 0, 0, "")
        checked = self.check(folders, goldens, report)
        self.finish(target, goldens)
        goldens.goldens.write(target)
        return PortableBuildPair(self, folders, prepared, report, method, checked)

    def check(self, folders: Folders, goldens: GoldenCheck, report: Report) -> dict[str, Any]:
        """Verify a written form; returns what the manifest says of it besides the goldens.

        Raises:
            ParityError: It is not its source; the code names the fault.
        """
        self.check_files(folders.reference, folders.built)
        goldens.check_folder(folders.built, form=self.form.name)
        module, weights = self.loaded(folders, report)
        rows = module_logits(module, *goldens.goldens.spoken)
        goldens.check_logits(rows, self.form.logits, form=f"{self.form.name}, dequantised")
        return {"weights": weights}

    @torch.inference_mode()
    def loaded(self, folders: Folders, report: Report) -> tuple[Any, Mapping[str, Any]]:
        """The reference's module with the weights that the form holds, and how near they are.

        Raises:
            ParityError: A tensor is missing, or is not the reference's.
        """
        module = reference_module(folders.reference)
        wanted, is_tied = dict(module.named_parameters()), is_head_tied(module)
        errors: dict[str, float] = {}
        head = embedding = None
        for name, values in self.tensors(folders.built, list(wanted)):
            report("check", len(errors), len(wanted), "tensor")
            if name.endswith(EMBEDDING):
                embedding = values
            if name.endswith(HEAD):
                head = values
            if name in wanted:
                errors[name] = self._checked(name, wanted[name].detach().numpy(), values)
                wanted[name].copy_(torch.from_numpy(values))
            elif not name.endswith(HEAD):
                raise ParityError(
                    WEIGHTS_DIFFER,
                    f"{self.form.name} holds a tensor {name!r}, which its source has not",
                )
        if any(name.endswith(HEAD) for name in wanted) or is_tied:
            check_head(is_tied=is_tied, embedding=embedding, head=head, form=self.form.name)
        if missing := [name for name in wanted if name not in errors]:
            raise ParityError(TENSOR_MISSING, f"{self.form.name} has no tensor {missing[0]!r}")
        return module, {"tensors": len(errors), "largest_error": max(errors.values())}

    def _checked(self, name: str, source: Weights, found: Weights) -> float:
        return check_tensor(name, source, found, self.form.rounding, form=self.form.name)


class PortableBuildPair:
    """A form for another runtime, and the bf16 weights that it was made from."""

    def __init__(
        self,
        builder: PortableBuilder,
        folders: Folders,
        prepared: PreparedSource,
        report: Report,
        method: Mapping[str, Any],
        checked: Mapping[str, Any],
    ) -> None:
        self._builder = builder
        self._folders = folders
        self._report = report
        self._sides = TorchSides(self._module)
        self.names: Mapping[Side, str] = {"reference": "bf16", "built": builder.form.weights}
        written = builder.sizes(folders.built)
        self.built_bytes, self.weights_bytes = written.files, written.weights
        self.reference_bytes = prepared.reference_bytes
        self.context_tokens = prepared.context_tokens
        self.method = method
        self.parity: Mapping[str, Any] = {**prepared.goldens.record(), **checked}
        self.made_figures: Mapping[str, float] = prepared.goldens.figures()

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        return self._sides.of(side).scores(questions)

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        return self._sides.of(side).likelihoods(texts)

    def _module(self, side: Side) -> Any:
        if side == "reference":
            return reference_module(self._folders.reference)
        module, _ = self._builder.loaded(self._folders, self._report)
        return module

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        """None: no engine here runs it."""
        return {}


def float_array(tensor: Any) -> Weights:
    """A torch tensor as float32."""
    values: Weights = np.ascontiguousarray(tensor.float().numpy())
    return values
