"""TEMPORARY: decides in memory; replaced by the stores on disk."""

from collections import Counter

import numpy as np

from data_prep.domain.dataset_plan import DatasetPlan
from data_prep.domain.duplicates import Cluster
from data_prep.domain.splits import SplitPlan
from data_prep.domain.verdicts import SPLITS, Verdicts


class SimpleDecider:
    def __init__(self, plan: DatasetPlan):
        self._plan = plan
        self._lines = []
        self._exact = []
        self._group = []

    def add(self, lines, keys):
        self._lines.append(lines)
        self._exact.append(keys.exact)
        self._group.append(keys.group)

    def decide(self):
        lines = np.concatenate(self._lines)
        exact = np.concatenate(self._exact)
        group = np.concatenate(self._group)
        view = np.ascontiguousarray(exact).view("V16").ravel()
        _, first, inverse = np.unique(view, return_index=True, return_inverse=True)
        leader = first[inverse]
        self._leader = leader
        self.lines = lines
        keep = leader == np.arange(len(lines))
        gbytes = [bytes(g) for g in group]
        counts = Counter(g for g, k in zip(gbytes, keep) if k)
        plan = SplitPlan(counts, self._plan)
        self._split = np.array(
            [SPLITS.index(plan.split_of(g)) if k else -1 for g, k in zip(gbytes, keep)], np.int8
        )
        self._verdict = np.where(keep, 0, 1).astype(np.int8)
        self._other = np.where(keep, 0, lines[leader])
        return self

    def verdicts(self, start, stop):
        return Verdicts(self._verdict[start:stop], self._other[start:stop], self._split[start:stop])

    def clusters(self):
        out = {}
        for i in np.flatnonzero(self._verdict):
            c = out.setdefault(
                int(self.lines[self._leader[i]]), Cluster(int(self.lines[self._leader[i]]))
            )
            c.dropped.append(int(self.lines[i]))
            c.dropped_count += 1
        return list(out.values())[:100]
