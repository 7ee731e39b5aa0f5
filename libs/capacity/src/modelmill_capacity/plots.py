"""Lines over two axes as SVG that stands alone; the same figures give the same bytes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 64, 170, 30, 48
COLOURS = ("#3b6ea5", "#c4501b", "#4a8a5c", "#8a5aa8")
STYLE = """text{font:12px system-ui,sans-serif;fill:#444}.axis{stroke:#8888;fill:none}
path{fill:none;stroke-width:2}.unmarked{fill:#8882}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}}"""
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """Points in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """What is drawn."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    shaded_from: float | None = None
    """From this x on the ground is grey."""
    shade: str = ""
    """What grey means."""

    def svg(self) -> str:
        """The document."""
        points = [point for curve in self.curves for point in curve.points]
        lowest = min(x for x, _ in points)
        axes = _Axes(lowest, max(x for x, _ in points), _round_up(max(y for _, y in points)))
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                f'role="img" aria-label="{escape(self.title)}">',
                f"<style>{STYLE}</style>",
                *self._ground(axes),
                *self._frame(axes),
                *self._lines(axes),
                "</svg>\n",
            )
        )

    def _ground(self, axes: "_Axes") -> Iterator[str]:
        if self.shaded_from is None:
            return
        left = axes.across(max(self.shaded_from, axes.lowest))
        wide = WIDTH - RIGHT - left
        size = f'width="{wide:.1f}" height="{_TALL}"'
        yield f'<rect class="unmarked" x="{left:.1f}" y="{TOP}" {size}/>'
        yield f'<text x="{left + 4:.1f}" y="{TOP + 14}">{escape(self.shade)}</text>'

    def _frame(self, axes: "_Axes") -> Iterator[str]:
        low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        yield f'<path class="axis" d="M{LEFT} {TOP}V{low}H{right}"/>'
        yield f'<text x="{LEFT + 40}" y="18">{escape(self.title)}</text>'
        yield f'<text x="{right}" y="{HEIGHT - 10}" text-anchor="end">{escape(self.x)}</text>'
        for value in _ticks(axes.lowest, axes.rightmost):
            x = axes.across(value)
            yield f'<text x="{x:.1f}" y="{low + 16}" text-anchor="middle">{_said(value)}</text>'
        for value in _ticks(0.0, axes.top):
            y, said = axes.up(value) + 4, _said(value)
            yield f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="end">{said}</text>'
        yield f'<text x="8" y="{TOP - 12}">{escape(self.y)}</text>'

    def _lines(self, axes: "_Axes") -> Iterator[str]:
        for number, curve in enumerate(self.curves):
            colour = COLOURS[number % len(COLOURS)]
            path = "L".join(f"{axes.across(x):.1f} {axes.up(y):.1f}" for x, y in curve.points)
            yield f'<path stroke="{colour}" d="M{path}"/>'
            y = TOP + 16 + 18 * number
            style = f'style="fill:{colour}"'
            yield f'<text x="{WIDTH - RIGHT + 10}" y="{y}" {style}>{escape(curve.name)}</text>'


_TALL = HEIGHT - TOP - BOTTOM


@dataclass(frozen=True)
class _Axes:
    lowest: float
    rightmost: float
    top: float

    def across(self, x: float) -> float:
        share = (x - self.lowest) / (self.rightmost - self.lowest)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(self, y: float) -> float:
        return HEIGHT - BOTTOM - min(1.0, y / self.top) * _TALL


def _ticks(low: float, high: float) -> Iterator[float]:
    """Round numbers between two."""
    step = _round_up((high - low) / TICKS)
    first = math.ceil(low / step - 1e-9)
    for number in range(first, math.floor(high / step + 1e-9) + 1):
        yield number * step


def _round_up(value: float) -> float:
    """To 1, 2, 2.5 or 5 of a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
