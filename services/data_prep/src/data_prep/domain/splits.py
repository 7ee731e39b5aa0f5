"""Train, valid and test, so that no text is in two of them and the shares are kept.

Rows whose first user turns compare as equal are one group, and a group is never cut: the same
question with another answer, or a longer run of the same conversation, stays on its side. Groups
are ordered by sha256 of the seed and the text; test takes the first ones, valid the next, train
the rest. So a split depends on the seed and on what the rows say, not on their order in the file.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping

from data_prep.domain.dataset_plan import DatasetPlan
from data_prep.domain.duplicates.split_planner import SPLITS, TooFewTextsError
from data_prep.domain.rows import Conversation
from data_prep.domain.text_form import comparison_key

_GROUP_BYTES = 16


def group_of(conversation: Conversation, seed: int) -> bytes:
    """The group's place in the order, equal for texts that compare as equal."""
    key = f"{seed}\x1f{comparison_key(conversation.opening)}"
    return hashlib.sha256(key.encode()).digest()[:_GROUP_BYTES]


class SplitPlan:
    """Which group goes where."""

    def __init__(self, rows_of_group: Mapping[bytes, int], plan: DatasetPlan) -> None:
        """Assign every group.

        Args:
            rows_of_group: Rows of each group, by its `group_of`.
            plan: Its shares and its limit on test rows.

        Raises:
            TooFewTextsError: There are too few different texts to fill the splits asked for.
        """
        rows = sum(rows_of_group.values())
        wanted = sum(getattr(plan.shares, split) > 0 for split in SPLITS)
        if len(rows_of_group) < wanted:
            raise TooFewTextsError(
                f"{rows} rows with {len(rows_of_group)} different user texts cannot fill "
                f"{wanted} splits"
            )
        test_limit = plan.max_test_rows or rows
        goals = {
            "test": min(round(plan.shares.test * rows), test_limit),
            "valid": round(plan.shares.valid * rows),
        }
        waiting = sorted(rows_of_group.items())
        self._split_of: dict[bytes, str] = {}
        for split, limit in (("test", test_limit), ("valid", rows)):
            if getattr(plan.shares, split) > 0:
                wanted -= 1
                waiting = self._fill(split, waiting, max(goals[split], 1), limit, keep=wanted)
        self.rows_of_split = Counter({"train": sum(size for _, size in waiting)})
        for group, split in self._split_of.items():
            self.rows_of_split[split] += rows_of_group[group]

    def split_of(self, group: bytes) -> str:
        return self._split_of.get(group, "train")

    def _fill(
        self, split: str, waiting: list[tuple[bytes, int]], goal: int, limit: int, *, keep: int
    ) -> list[tuple[bytes, int]]:
        """Take the first groups that fit in `goal` rows, or the smallest one.

        Returns:
            The groups not taken, at least `keep` of them, so that every split gets one.
        """
        room, left, may_take = goal, [], len(waiting) - keep
        for group, size in waiting:
            if size <= room and may_take:
                self._split_of[group] = split
                room -= size
                may_take -= 1
            else:
                left.append((group, size))
        if room == goal:
            smallest = min(left, key=lambda item: item[1])
            if smallest[1] > limit:
                raise TooFewTextsError(
                    f"no user text has few enough rows for a {split} split of {limit}"
                )
            self._split_of[smallest[0]] = split
            left.remove(smallest)
        return left
