"""The target forms gguf-*: one file for llama.cpp and Ollama, with a Modelfile beside it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType
from modelmill_evaluation.parity.goldens import (
    CONFIG_DIFFERS,
    TEMPLATE_MISMATCH,
    TOKENIZER_MISMATCH,
    ParityError,
)
from modelmill_evaluation.parity.weights import WeightLimit, Weights
from modelmill_tokenization.chat_tokenizer import named_tokens, read_json, template_source
from safetensors import safe_open

from modelmill_optimizer_builder.adapters import llama_cpp
from modelmill_optimizer_builder.adapters.gguf_file import (
    MODEL_FILE,
    GgufFile,
    Quantisation,
    rope_factors,
    write_gguf,
)
from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.ollama import MODELFILE, modelfile
from modelmill_optimizer_builder.adapters.portable_build import (
    Folders,
    PortableBuilder,
    PortableForm,
    WrittenSizes,
    float_array,
)
from modelmill_optimizer_builder.domain.build_plan import NotExportableError
from modelmill_optimizer_builder.domain.gguf_models import ROPE_LLAMA3, hyper_parameters
from modelmill_optimizer_builder.domain.gguf_vocabulary import (
    MODEL,
    NoGgufVocabularyError,
    Vocabulary,
    vocabulary_of,
)
from modelmill_optimizer_builder.domain.parity import INT4_LIMIT, ROUNDED_LIMIT
from modelmill_optimizer_builder.domain.rotary_positions import rope_type_of
from modelmill_optimizer_builder.make_build import Report, Source


class GgufBuilder(PortableBuilder):
    """A GGUF file of a model with a byte-level BPE tokenizer."""

    quantisation: ClassVar[Quantisation]
    words: ClassVar[str]
    """How the weights are stored, for the manifest."""

    def refuse(self, source: Source) -> None:
        config = read_json(source.base / "config.json")
        try:
            read_vocabulary(source.tokenizer, int(config["vocab_size"]))
        except NoGgufVocabularyError as error:
            raise NotExportableError(
                f"{self.form.name} cannot be made of this model: {error}"
            ) from error

    def write(self, reference: Path, target: Path, report: Report) -> Mapping[str, Any]:
        config = read_json(reference / "config.json")
        vocabulary = read_vocabulary(reference, int(config["vocab_size"]))
        tensors = _reported(source_tensors(reference), report)
        write_gguf(target / MODEL_FILE, config, vocabulary, tensors, self.quantisation)
        return {
            "weights": self.words,
            "tokenizer": f"{MODEL}, cut as {vocabulary.pre}",
            "writer": f"gguf {_version()}",
        }

    def sizes(self, target: Path) -> WrittenSizes:
        path = target / MODEL_FILE
        return WrittenSizes(path.stat().st_size, GgufFile(path).weight_bytes)

    def tensors(self, target: Path, names: Sequence[str]) -> Iterator[tuple[str, Weights]]:
        config = read_json(target / "config.json")
        return GgufFile(target / MODEL_FILE).tensors(config, names)

    def check_files(self, reference: Path, target: Path) -> None:
        config = read_json(reference / "config.json")
        file = GgufFile(target / MODEL_FILE)
        check_header(file, config, form=self.form.name)
        vocabulary = read_vocabulary(reference, int(config["vocab_size"]))
        check_vocabulary(file, vocabulary, form=self.form.name)

    def check(self, folders: Folders, goldens: GoldenCheck, report: Report) -> dict[str, Any]:
        checked = super().check(folders, goldens, report)
        if not llama_cpp.is_installed():
            return checked
        path, limit = folders.built / MODEL_FILE, self.form.logits
        runtime = llama_cpp.check_on_llama_cpp(path, goldens, limit, form=self.form.name)
        return checked | {"runtime": runtime}

    def finish(self, target: Path, goldens: GoldenCheck) -> None:
        adds_bos = bool(GgufFile(target / MODEL_FILE).value("tokenizer.ggml.add_bos_token"))
        text = modelfile(MODEL_FILE, target, goldens.goldens, adds_bos=adds_bos)
        (target / MODELFILE).write_text(text, encoding="utf-8")


class GgufBf16(GgufBuilder):
    """The source's own weights."""

    form = PortableForm("gguf-bf16", "bf16-gguf", ROUNDED_LIMIT, WeightLimit(error=0.0))
    quantisation = Quantisation(Type.BF16, Type.BF16, LlamaFileType.MOSTLY_BF16)
    words = "bf16, norms and biases float32"


class GgufQ8(GgufBuilder):
    """Eight bits a weight, one scale for 32 neighbours."""

    form = PortableForm("gguf-q8_0", "q8_0", ROUNDED_LIMIT, WeightLimit(error=0.02))
    quantisation = Quantisation(Type.Q8_0, Type.Q8_0, LlamaFileType.MOSTLY_Q8_0)
    words = "ggml Q8_0: int8, symmetric, in groups of 32"


class GgufQ4Symmetric(GgufBuilder):
    """Four bits a weight, one scale for 32 neighbours."""

    form = PortableForm("gguf-q4_0", "q4_0", INT4_LIMIT, WeightLimit(error=0.2))
    quantisation = Quantisation(Type.Q4_0, Type.Q8_0, LlamaFileType.MOSTLY_Q4_0)
    words = "ggml Q4_0: int4, symmetric, in groups of 32; embedding and output Q8_0"


class GgufQ4(GgufBuilder):
    """Four bits a weight, one scale and one minimum for 32 neighbours."""

    form = PortableForm("gguf-q4_1", "q4_1", INT4_LIMIT, WeightLimit(error=0.2))
    quantisation = Quantisation(Type.Q4_1, Type.Q8_0, LlamaFileType.MOSTLY_Q4_1)
    words = "ggml Q4_1: int4, asymmetric, in groups of 32; embedding and output Q8_0"


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Vocabulary of a model folder.

    Raises:
        NoGgufVocabularyError: GGUF cannot say it.
    """
    config = read_json(folder / "tokenizer_config.json")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    template = template_source(folder, config) or ""
    return vocabulary_of(tokenizer, named_tokens(config), template, size)


def source_tensors(folder: Path) -> Iterator[tuple[str, Weights]]:
    """Tensors of a model folder as float32."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield name, float_array(tensors.get_tensor(name))


def _reported(
    tensors: Iterator[tuple[str, Weights]], report: Report
) -> Iterator[tuple[str, Weights]]:
    for done, each in enumerate(tensors, 1):
        report("quantise", done, 0, "tensor")
        yield each


def check_header(file: GgufFile, config: Mapping[str, Any], *, form: str) -> None:
    """Accept a file whose hyper-parameters are the config's.

    Raises:
        ParityError: CONFIG_DIFFERS; names the key.
    """
    for key, value in hyper_parameters(config).items():
        found = file.value(key)
        alike = found is not None and (
            found == value if not isinstance(value, float) else np.float32(value) == found
        )
        if not alike:
            raise ParityError(
                CONFIG_DIFFERS, f"{form} says {found!r} of {key!r}, its source {value!r}"
            )
    wanted = rope_factors(config).tolist() if rope_type_of(config) == ROPE_LLAMA3 else []
    if file.rope_factors() != wanted:
        raise ParityError(CONFIG_DIFFERS, f"{form} has other rotary frequencies than its source")


def check_vocabulary(file: GgufFile, vocabulary: Vocabulary, *, form: str) -> None:
    """Accept a file whose tokens, merges and chat template are the source's.

    Raises:
        ParityError: TEMPLATE_MISMATCH or TOKENIZER_MISMATCH; names what differs.
    """
    if (file.value("tokenizer.chat_template") or "") != vocabulary.chat_template:
        raise ParityError(TEMPLATE_MISMATCH, f"{form} holds another chat template than its source")
    wanted: dict[str, Any] = {
        "model": MODEL,
        "pre": vocabulary.pre,
        "tokens": list(vocabulary.tokens),
        "token_type": list(vocabulary.types),
        "merges": list(vocabulary.merges) or None,
        "add_bos_token": vocabulary.adds_bos,
        **{f"{part}_token_id": token for part, token in vocabulary.special.items()},
    }
    for part, value in wanted.items():
        if file.value(f"tokenizer.ggml.{part}") != value:
            raise ParityError(
                TOKENIZER_MISMATCH, f"{form} holds other {part!r} of its tokenizer than its source"
            )


def _version() -> str:
    return version(gguf.__name__)
