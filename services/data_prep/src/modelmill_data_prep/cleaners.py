"""Creates the cleaning transforms of a plan; for the child process only."""

from collections.abc import Callable, Mapping

from modelmill_data_prep.adapters.opencc_simplified import SimplifiedChinese
from modelmill_data_prep.adapters.spacy_stop_words import spacy_stop_words
from modelmill_data_prep.domain.cleaning.batches import IdempotentTransform
from modelmill_data_prep.domain.cleaning.boilerplate import Boilerplate
from modelmill_data_prep.domain.cleaning.clean_plan import CleanPlan
from modelmill_data_prep.domain.cleaning.encoding import EncodingRepair
from modelmill_data_prep.domain.cleaning.form import Invisible, Spaces, UnicodeForm
from modelmill_data_prep.domain.cleaning.markup import Markup
from modelmill_data_prep.domain.cleaning.repeats import Repeats
from modelmill_data_prep.domain.cleaning.stop_words import StopWords
from modelmill_data_prep.domain.stages import TextTransform

MAKERS: Mapping[str, Callable[[], TextTransform]] = {
    "encoding": EncodingRepair,
    "markup": Markup,
    "unicode": UnicodeForm,
    "invisible": Invisible,
    "spaces": Spaces,
    "boilerplate": Boilerplate,
    "repeats": Repeats,
    "simplified": SimplifiedChinese,
    "stop_words": lambda: StopWords(spacy_stop_words),
}
"""Factory by transform name."""


def clean_transforms(plan: CleanPlan) -> list[TextTransform]:
    """Transforms of a plan in order; the whole chain is idempotent."""
    transforms: list[TextTransform] = []
    for name in plan.transforms:
        transforms.append(IdempotentTransform(MAKERS[name](), transforms))
    return transforms
