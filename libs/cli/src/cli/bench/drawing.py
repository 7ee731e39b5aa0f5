"""How right each arm is over what it cost, as an SVG that needs nothing else: no script or font."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from cli.bench.matrix import ArmResult, TaskResult

WIDTH, PANEL_HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 48
LABEL_HEIGHT = 14
WHISKER = 4
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
COST = "unit_seconds"

STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600}
.grid{stroke:#8884;stroke-width:1}.base{fill:#8883}.baseline{stroke:#888;stroke-dasharray:4 3}
.arm{stroke:#3b6ea5;stroke-width:1.6;fill:#3b6ea5}.dpo{stroke:#c4501b;fill:#c4501b}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}
.arm{stroke:#7fb2e5;fill:#7fb2e5}.dpo{stroke:#f0894f;fill:#f0894f}}
"""


def draw(results: Sequence[TaskResult]) -> str:
    """A panel for each task: core seconds to the right, right answers upwards, 95 % intervals."""
    height = PANEL_HEIGHT * max(len(results), 1)
    panels = "".join(_Panel(result, PANEL_HEIGHT * n).svg() for n, result in enumerate(results))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="right answers by core seconds of training"><style>{STYLE}</style>'
        f"{panels}</svg>\n"
    )


@dataclass(frozen=True)
class _Panel:
    """One task, with its upper edge at `top`."""

    result: TaskResult
    top: float

    def svg(self) -> str:
        return "".join((*self._frame(), *self._base(), *self._arms()))

    def _frame(self) -> Iterator[str]:
        yield f'<text class="title" x="{LEFT}" y="{self.top + 20:g}">{escape(self.result.title)}'
        yield "</text>"
        for share in SHARES:
            y = self._y(share)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        under = self._y(0)
        for seconds in self._ticks():
            x = self._x(seconds)
            yield f'<path class="grid" d="M{x:.1f} {under:.1f}v5"/>'
            yield f'<text x="{x:.1f}" y="{under + 18:.1f}" text-anchor="middle">{seconds:,.0f}'
            yield "</text>"
        middle = (LEFT + WIDTH - RIGHT) / 2
        yield f'<text x="{middle:.1f}" y="{under + 34:.1f}" text-anchor="middle">'
        yield "core seconds of training (logarithmic)</text>"

    def _base(self) -> Iterator[str]:
        accuracy = self.result.arms[0].accuracy
        high, low, value = (self._y(accuracy[name]) for name in ("high", "low", "value"))
        width = WIDTH - LEFT - RIGHT
        yield f'<rect class="base" x="{LEFT}" y="{high:.1f}" width="{width}" '
        yield f'height="{max(low - high, 0.5):.1f}"/>'
        yield f'<path class="baseline" d="M{LEFT} {value:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT + 6}" y="{value - 4:.1f}">base</text>'

    def _arms(self) -> Iterator[str]:
        taken: list[tuple[float, float]] = []
        for arm in sorted(self._costly(), key=lambda arm: float(arm.cost[COST])):
            x, y = self._x(float(arm.cost[COST])), self._y(arm.accuracy["value"])
            high, low = self._y(arm.accuracy["high"]), self._y(arm.accuracy["low"])
            style = "arm dpo" if arm.objective == "dpo" else "arm"
            yield f'<path class="{style}" fill="none" d="M{x:.1f} {high:.1f}V{low:.1f}'
            yield "".join(f"M{x - WHISKER:.1f} {end:.1f}h{2 * WHISKER}" for end in (high, low))
            yield f'"/><circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            place = _free_place(taken, x, y)
            taken.append((x, place))
            left = x > (LEFT + WIDTH) / 2
            anchor, aside = ("end", -8) if left else ("start", 8)
            yield f'<text x="{x + aside:.1f}" y="{place + 4:.1f}" text-anchor="{anchor}">'
            yield f"{escape(arm.name)}</text>"

    def _costly(self) -> list[ArmResult]:
        return [arm for arm in self.result.arms if arm.cost.get(COST)]

    def _range(self) -> tuple[float, float]:
        """Logarithms of the cheapest and the dearest, with a margin."""
        costs = [float(arm.cost[COST]) for arm in self._costly()] or [1.0]
        return math.log10(min(costs)) - 0.15, math.log10(max(costs)) + 0.15

    def _ticks(self) -> Iterator[float]:
        """1, 2 and 5 times powers of ten that lie in the panel."""
        first, last = self._range()
        for power in range(math.floor(first), math.ceil(last) + 1):
            for times in (1, 2, 5):
                if first <= math.log10(times * 10.0**power) <= last:
                    yield times * 10.0**power

    def _x(self, seconds: float) -> float:
        first, last = self._range()
        return LEFT + (math.log10(seconds) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def _y(self, share: float) -> float:
        low, high = self.top + PANEL_HEIGHT - BOTTOM, self.top + TOP
        return low - share * (low - high)


def _free_place(taken: Sequence[tuple[float, float]], x: float, y: float) -> float:
    """The height nearest to `y` at which a label hides none that stands beside it."""
    near = [place for other, place in taken if abs(other - x) < WIDTH / 4]
    steps = (n * sign * LABEL_HEIGHT for n in range(len(near) + 1) for sign in (-1, 1))
    return next(
        (y + step for step in steps if all(abs(y + step - at) >= LABEL_HEIGHT for at in near)), y
    )
