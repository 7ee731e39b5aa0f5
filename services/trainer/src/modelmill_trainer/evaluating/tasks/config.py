"""Parses a task's YAML, a subset of lm-evaluation-harness's format; other fields are rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from modelmill_evaluation.score_names import (
    ACCURACY,
    ACCURACY_NORM,
    BITS_PER_BYTE,
    BLEU,
    CHRF,
    EXACT_MATCH,
    F1,
    OF_CHOICES,
    OF_LIKELIHOODS,
    OF_TEXTS,
    PERPLEXITY,
    ROUGE_1,
    ROUGE_2,
    ROUGE_L,
)
from modelmill_service_kit.errors import InvalidInputError

from modelmill_trainer.evaluating.tasks.templates import template_errors

MAX_BYTES = 32 * 1024
MAX_DEPTH = 16
MULTIPLE_CHOICE, GENERATE, LOGLIKELIHOOD = "multiple_choice", "generate_until", "loglikelihood"
OUTPUT_TYPES = (MULTIPLE_CHOICE, GENERATE, LOGLIKELIHOOD)
MEASURE_OF = {
    "acc": ACCURACY,
    "acc_norm": ACCURACY_NORM,
    "f1": F1,
    "perplexity": PERPLEXITY,
    "bits_per_byte": BITS_PER_BYTE,
    "exact_match": EXACT_MATCH,
    "bleu": BLEU,
    "chrf": CHRF,
    "rouge1": ROUGE_1,
    "rouge2": ROUGE_2,
    "rougeL": ROUGE_L,
}
"""Our metric by the harness's name."""
DEFAULT_MEASURES = {
    MULTIPLE_CHOICE: (ACCURACY, ACCURACY_NORM),
    GENERATE: (EXACT_MATCH,),
    LOGLIKELIHOOD: (PERPLEXITY, ACCURACY),
}
FITTING = {
    MULTIPLE_CHOICE: {*OF_CHOICES, *OF_LIKELIHOODS},
    GENERATE: {*OF_TEXTS},
    LOGLIKELIHOOD: {ACCURACY, *OF_LIKELIHOODS},
}
"""Metrics allowed per output type."""
UNUSED = {
    *("tag", "metadata", "should_decontaminate", "doc_to_decontamination_query", "task_alias"),
    *("training_split",),
}
"""Fields that are accepted and ignored."""
MAX_SHOTS = 64
MAX_STOPS = 16


class _Loader(yaml.SafeLoader):
    """Plain values only; tags are recorded and not executed."""

    tags: list[str]


def _record_tag(loader: _Loader, suffix: str, _node: yaml.Node) -> None:
    loader.tags.append("!" + suffix)


_Loader.add_multi_constructor("!", _record_tag)


def load_fields(text: str) -> Mapping[str, Any]:
    """Parse the top-level mapping.

    Raises:
        InvalidInputError: it is not a mapping, too large, or has tags or aliases.
    """
    if len(text.encode()) > MAX_BYTES:
        raise InvalidInputError(f"the config is larger than {MAX_BYTES} bytes")
    try:
        _check_shape(text)
        loader = _Loader(text)
        loader.tags = []
        fields = loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInputError(f"the config is not valid YAML: {_one_line(error)}") from error
    if loader.tags:
        raise InvalidInputError(
            [
                f"{tag[:40]} is not supported: a task runs no code"
                for tag in sorted(set(loader.tags))
            ]
        )
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise InvalidInputError("the config must be a mapping of names to values")
    return fields


def _check_shape(text: str) -> None:
    """Reject aliases and deep nesting while streaming, before values are built."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            # "Billion laughs": a few lines of aliases expand to gigabytes.
            raise InvalidInputError("YAML aliases are not supported. Write values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            # Parse time grows with the square of the depth.
            raise InvalidInputError(f"the config is nested more than {MAX_DEPTH} deep")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class FieldReader:
    """Pops fields one by one; fields left over are unsupported."""

    def __init__(self, fields: dict[str, Any], errors: list[str]) -> None:
        self.fields = fields
        self.errors = errors

    def any(self, name: str) -> Any:
        """Pop a value; None if it is absent."""
        return self.fields.pop(name, None)

    def text(self, name: str, *, default: str = "", required: bool = False, most: int = 200) -> str:
        value = self.any(name)
        if value is None or (required and value == ""):
            if required:
                self.errors.append(f"{name} is missing")
            return default
        if not isinstance(value, str) or len(value) > most:
            self.errors.append(f"{name} must be a text of at most {most} characters")
            return default
        return value

    def number(self, name: str, *, most: int) -> int:
        value = self.any(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            self.errors.append(f"{name} must be a whole number from 0 to {most}")
            return 0
        return value

    def template(self, name: str, *, required: bool = False) -> str:
        text = self.text(name, required=required, most=MAX_BYTES)
        self.errors += [f"{name}: {error}" for error in template_errors(text)]
        return text


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """A validated task."""

    name: str
    output_type: str
    data_files: tuple[str, ...]
    """Names of files with the evaluated rows."""
    shots_files: tuple[str, ...]
    shots: int
    """Number of few-shot examples: the first rows of `shots_files`."""
    text: str
    """Jinja template or column name, as `target` and `choices`."""
    target: str | int
    choices: str | tuple[str, ...]
    description: str
    target_delimiter: str
    shots_delimiter: str
    stops: tuple[str, ...]
    max_new_tokens: int
    """0 for the evaluation's value."""
    measures: tuple[str, ...]

    @property
    def files(self) -> set[str]:
        """Names of all files that the task reads."""
        return {*self.data_files, *self.shots_files}


def read_config(text: str) -> TaskConfig:
    """Parse and validate a task.

    Raises:
        InvalidInputError: lists every invalid, missing or unsupported field by name.
    """
    fields = dict(load_fields(text))
    errors: list[str] = []
    reader = FieldReader(fields, errors)
    name = reader.text("task", required=True)
    output_type = reader.text("output_type", required=True)
    if output_type and output_type not in OUTPUT_TYPES:
        errors.append(f"output_type {output_type[:40]!r} is unknown. Use {', '.join(OUTPUT_TYPES)}")
    splits = _data_files(reader)
    stops, max_new_tokens = _generation(reader)
    shots = reader.number("num_fewshot", most=MAX_SHOTS)
    config = TaskConfig(
        name=name,
        output_type=output_type,
        data_files=_files_of(reader, splits, ("test_split", "validation_split")),
        shots_files=_files_of(reader, splits, ("fewshot_split",)) if shots else (),
        shots=shots,
        text=reader.template("doc_to_text", required=True),
        target=_target(reader),
        choices=_choices(reader, output_type),
        description=reader.text("description", most=MAX_BYTES),
        target_delimiter=reader.text("target_delimiter", default=" "),
        shots_delimiter=reader.text("fewshot_delimiter", default="\n\n"),
        stops=stops,
        max_new_tokens=max_new_tokens,
        measures=_measures(reader, output_type),
    )
    _check_shots(reader, config)
    _refuse_rest(reader)
    if errors:
        raise InvalidInputError(errors)
    return config


def _data_files(reader: FieldReader) -> dict[str, tuple[str, ...]]:
    """File names by split."""
    path = reader.any("dataset_path")
    if path not in (None, "json"):
        reader.errors.append(
            f"dataset_path {str(path)[:40]!r} is not supported. Set json and name uploaded files"
        )
    if reader.any("dataset_name") is not None:
        reader.errors.append("dataset_name is not supported: nothing is fetched from a network")
    given = reader.any("dataset_kwargs")
    files = given.get("data_files") if isinstance(given, dict) else None
    if isinstance(given, dict) and set(given) - {"data_files"}:
        strangers = ", ".join(sorted(map(str, set(given) - {"data_files"})))
        reader.errors.append(f"dataset_kwargs: only data_files is supported, not {strangers[:80]}")
    if isinstance(files, str):
        files = {"test": files}
    if not isinstance(files, dict) or not files:
        reader.errors.append("dataset_kwargs.data_files must name uploaded files by split")
        return {}
    splits: dict[str, tuple[str, ...]] = {}
    for split, names in files.items():
        listed = [names] if isinstance(names, str) else names
        if not isinstance(listed, list) or not all(isinstance(n, str) for n in listed):
            reader.errors.append(f"dataset_kwargs.data_files: {str(split)[:40]} must name files")
            continue
        splits[str(split)] = tuple(listed)
    return splits


def _files_of(
    reader: FieldReader, splits: Mapping[str, tuple[str, ...]], fields: Sequence[str]
) -> tuple[str, ...]:
    """Files of the first given split field; the other fields are consumed as well."""
    given = {field: reader.text(field) for field in fields if field in reader.fields}
    wanted = next((given[field] for field in fields if given.get(field)), "")
    if not wanted and fields[0] == "test_split" and "test" in splits:
        return splits["test"]
    if wanted not in splits:
        if splits:
            reader.errors.append(f"{fields[0]} must be one of {', '.join(splits)}"[:200])
        return ()
    return splits[wanted]


def _target(reader: FieldReader) -> str | int:
    value = reader.fields.get("doc_to_target")
    if isinstance(value, int) and not isinstance(value, bool):
        reader.any("doc_to_target")
        return value
    return reader.template("doc_to_target", required=True)


def _choices(reader: FieldReader, output_type: str) -> str | tuple[str, ...]:
    value = reader.fields.get("doc_to_choice")
    if output_type != MULTIPLE_CHOICE:
        if value is not None:
            reader.any("doc_to_choice")
            reader.errors.append(f"doc_to_choice is for {MULTIPLE_CHOICE} alone")
        return ()
    if isinstance(value, list):
        reader.any("doc_to_choice")
        if not 2 <= len(value) <= 256 or not all(isinstance(each, str) and each for each in value):
            reader.errors.append("doc_to_choice must have 2 to 256 texts, none empty")
        return tuple(map(str, value))
    return reader.template("doc_to_choice", required=True)


def _generation(reader: FieldReader) -> tuple[tuple[str, ...], int]:
    """Stop sequences and maximum tokens of an answer."""
    given = reader.any("generation_kwargs")
    if given is None:
        return (), 0
    if not isinstance(given, dict):
        reader.errors.append("generation_kwargs must be a mapping")
        return (), 0
    inner = FieldReader(dict(given), reader.errors)
    stops = inner.any("until") or []
    stops = [stops] if isinstance(stops, str) else stops
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(each, str) and each for each in stops)
    ):
        reader.errors.append(f"generation_kwargs.until must have at most {MAX_STOPS} texts")
        stops = []
    if inner.any("do_sample"):
        reader.errors.append("generation_kwargs.do_sample is not supported: answers are greedy")
    if inner.any("temperature"):
        reader.errors.append("generation_kwargs.temperature must be 0: answers are greedy")
    tokens = inner.number("max_gen_toks", most=8_192)
    reader.errors += [f"generation_kwargs.{str(n)[:40]} is not supported" for n in inner.fields]
    return tuple(stops), tokens


def _measures(reader: FieldReader, output_type: str) -> tuple[str, ...]:
    given = reader.any("metric_list")
    if given is None:
        return DEFAULT_MEASURES.get(output_type, ())
    if not isinstance(given, list) or not given:
        reader.errors.append("metric_list must be a list")
        return ()
    found: list[str] = []
    for each in given:
        fields = dict(each) if isinstance(each, dict) else {}
        name = fields.pop("metric", None)
        if str(name) not in MEASURE_OF:
            known = ", ".join(MEASURE_OF)
            reader.errors.append(f"metric {str(name)[:40]!r} is not supported. Use {known}")
            continue
        if output_type in FITTING and MEASURE_OF[str(name)] not in FITTING[output_type]:
            reader.errors.append(f"metric {name} is not for {output_type}")
            continue
        found.append(MEASURE_OF[str(name)])
        fields.pop("higher_is_better", None)
        if fields.pop("aggregation", "mean") not in ("mean", name):
            reader.errors.append(f"metric {name}: only its own aggregation is supported")
        reader.errors += [f"metric {name}: {str(n)[:40]} is not supported" for n in fields]
    return tuple(dict.fromkeys(found))


def _check_shots(reader: FieldReader, config: TaskConfig) -> None:
    given = reader.any("fewshot_config")
    if not config.shots:
        reader.any("fewshot_split")
        return
    if given != {"sampler": "first_n"}:
        reader.errors.append("num_fewshot needs fewshot_config: {sampler: first_n}, and no more")
    if set(config.shots_files) & set(config.data_files):
        reader.errors.append(
            "fewshot_split shares files with the evaluated split. Name another split for examples"
        )


def _refuse_rest(reader: FieldReader) -> None:
    if reader.any("repeats") not in (None, 1):
        reader.errors.append("repeats is not supported: answers are greedy")
    if str(reader.any("filter_list") or "") not in ("", str([])):
        reader.errors.append("filter_list is not supported")
    for name in sorted(set(reader.fields) - UNUSED):
        reader.errors.append(f"{name[:40]} is not supported")
