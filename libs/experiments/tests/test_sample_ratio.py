"""Keys that one arm loses are noticed; a healthy draw is left alone."""

import random

from modelmill_experiments.sample_ratio import SampleRatio
from modelmill_experiments.sequential_test import RATIO_ALPHA


def test_a_healthy_draw_is_hardly_ever_stopped() -> None:
    stopped = 0
    for seed in range(100):
        draw, ratio = random.Random(seed), SampleRatio((0.9, 0.1))
        for _ in range(2_000):
            ratio.observe(int(draw.random() < 0.1))
        stopped += ratio.largest >= 1 / RATIO_ALPHA
    assert stopped <= 1


def test_an_arm_that_loses_a_tenth_of_its_keys_is_noticed() -> None:
    draw, ratio = random.Random(1), SampleRatio((0.5, 0.5))
    while ratio.largest < 1 / RATIO_ALPHA:
        arm = int(draw.random() < 0.5)
        if not (arm and draw.random() < 0.1):
            ratio.observe(arm)
        assert sum(ratio.counts) < 20_000
