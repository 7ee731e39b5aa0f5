"""The transforms of a plan, put together. Imported by the job's child process only."""

from collections.abc import Callable, Mapping

from modelmill_data_prep.adapters.opencc_simplified import Simplified
from modelmill_data_prep.adapters.spacy_stop_words import spacy_stop_words
from modelmill_data_prep.domain.cleaning.batches import Settled
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
    "simplified": Simplified,
    "stop_words": lambda: StopWords(spacy_stop_words),
}
"""How each transform is made, by its name."""


def clean_transforms(plan: CleanPlan) -> list[TextTransform]:
    """The transforms of a plan in their order; the chain of them, done twice, changes nothing."""
    transforms: list[TextTransform] = []
    for name in plan.transforms:
        transforms.append(Settled(MAKERS[name](), transforms))
    return transforms
