"""Validates build specs: target forms, allowed sources and limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from modelmill_optimizer_builder.domain.forms import FORMS, PRUNED, form_errors
from modelmill_optimizer_builder.domain.prompt_lookup import lookup_errors
from modelmill_optimizer_builder.domain.pruning import Pruning, pruning_errors

DEFAULT_MAX_ACCURACY_LOSS = 0.02


@dataclass(frozen=True)
class SourceVersion:
    """Source of a build."""

    version_id: str
    form: str
    job_id: str
    """Training job; empty for an import."""
    unmerged_method: str = ""
    """Training method that changes no weights, such as prefix; else empty."""


def spec_errors(
    *,
    source_version_id: str,
    target_form: str | None,
    max_accuracy_loss: float,
    pruning: Pruning | None = None,
    prompt_lookup: str = "",
) -> list[str]:
    """Errors of a spec that need no lookup.

    Args:
        target_form: None for a search, which names none.
    """
    errors = []
    if not source_version_id:
        errors.append("source_version_id is missing")
    if target_form is not None:
        errors += form_errors(target_form)
    errors += pruning_errors(pruning, is_pruned_form=target_form == PRUNED)
    errors += lookup_errors(prompt_lookup, target_form)
    if not isfinite(max_accuracy_loss) or not 0 <= max_accuracy_loss <= 1:
        errors.append(f"max_accuracy_loss must be within 0 and 1, got {max_accuracy_loss:g}")
    return errors


def source_errors(version: SourceVersion, target_form: str) -> list[str]:
    """Reasons why that form cannot be built from this version; of an unknown form why none can."""
    if version.unmerged_method:
        return [
            f"version {version.version_id} was trained by method {version.unmerged_method}, which "
            "changes no weights that a build could hold. Serve the adapter itself, or train with "
            "lora or full"
        ]
    forms = [FORMS[target_form]] if target_form in FORMS else FORMS.values()
    sources = list(dict.fromkeys(source for form in forms for source in form.sources))
    if version.form in sources:
        return []
    return [
        f"version {version.version_id} is of form {version.form!r}, "
        f"which cannot be built from. Use {_either(sources)}"
    ]


def refuse_larger(form: str, built_bytes: int, reference_bytes: int) -> None:
    """Reject a build whose weights are no smaller than its form allows; see `Form.most_share`.

    Raises:
        NotSmallerError: They are not; the message has both sizes.
    """
    share = FORMS[form].most_share
    if built_bytes >= share * reference_bytes:
        allowed = "" if share == 1 else f". It may have less than {share:g} times as many"
        raise NotSmallerError(
            f"the weights of {form} have {built_bytes:,} bytes, those of its source in bf16 "
            f"{reference_bytes:,}{allowed}"
        )


def _either(words: Sequence[str]) -> str:
    return " or ".join(repr(word) for word in words)


class NotExportableError(ValueError):
    """The exporter cannot write this architecture; the message says which, and why."""


class NotMergeableError(ValueError):
    """The adapter does not change weights; the message says what it is."""


class NotSmallerError(ValueError):
    """The build's weights have more bytes than its form allows beside those of its source."""
