"""What is measured of rows, block after block, until all are known and can be ranked."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from modelmill_data_prep.domain.curriculum.curriculum_plan import (
    LENGTH,
    LOSS,
    RARITY,
    READABILITY,
    CurriculumPlan,
)
from modelmill_data_prep.domain.curriculum.difficulty import (
    Bools,
    Floats,
    difficulties,
    ranks,
    readability_ranks,
)
from modelmill_data_prep.domain.curriculum.frequency_sketch import FrequencySketch
from modelmill_data_prep.domain.curriculum.readability import Readability, readability_of
from modelmill_data_prep.domain.curriculum.text_units import units_of


@dataclass(frozen=True, eq=False)
class RowMeasures:
    """Of each row; 33 bytes a row."""

    length: Floats
    """Words and Chinese characters."""
    rarity: Floats
    """Bits of a mean unit."""
    chinese: Bools
    sentence_units: Floats
    hardness: Floats
    """As of `Readability`."""

    @classmethod
    def of(cls, texts: Sequence[str], sketch: FrequencySketch) -> "RowMeasures":
        """Measure the texts of a block.

        Args:
            texts: Of each row what is said in it (`row_batch.spoken_texts`).
            sketch: Of the whole corpus, counted in an earlier pass.
        """
        units = units_of(texts)
        readability = readability_of(units)
        return cls(
            units.units_of_text.astype(np.float64),
            sketch.rarity_of(units),
            readability.chinese,
            readability.sentence_units,
            readability.hardness,
        )

    @classmethod
    def joined(cls, blocks: Sequence["RowMeasures"]) -> "RowMeasures":
        """The measures of all blocks, in their order; at least one."""
        return cls(
            *(
                np.concatenate([getattr(block, field.name) for block in blocks])
                for field in fields(cls)
            )
        )

    def difficulties(self, plan: CurriculumPlan, losses: Floats | None = None) -> Floats:
        """Of each row how hard it is among these, from 0 to 1.

        Args:
            losses: Of each row that of the plan's model; needed when it counts.

        Raises:
            InvalidInputError: The loss counts and is not given.
        """
        readability = Readability(self.chinese, self.sentence_units, self.hardness)
        found = {
            LENGTH: ranks(self.length),
            RARITY: ranks(self.rarity),
            READABILITY: readability_ranks(readability),
        }
        if losses is not None:
            found[LOSS] = ranks(losses)
        return difficulties(found, plan.weights)
