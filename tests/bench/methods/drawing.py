"""How right each arm is, and at what cost, as an SVG that needs nothing else: no script or font."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.methods.matrix import ArmResult, TaskResult

WIDTH = 720
LEFT, RIGHT = 150, 150
"""Room for names, and for what they cost."""
TOP, LINE_HEIGHT, BOTTOM = 48, 30, 40
WHISKER = 5
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
COST = "unit_seconds"

STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600}
.grid{stroke:#8884;stroke-width:1}.band{fill:#8883}.chance{stroke:#888;stroke-dasharray:2 4}
.arm{stroke:#3b6ea5;stroke-width:1.8;fill:#3b6ea5}.dpo{stroke:#c4501b;fill:#c4501b}
.start{stroke:#888;fill:#888}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}
.arm{stroke:#7fb2e5;fill:#7fb2e5}.dpo{stroke:#f0894f;fill:#f0894f}.start{stroke:#999;fill:#999}}
"""


def draw(results: Sequence[TaskResult]) -> str:
    """A panel for each task: arms by cost, right answers to the right, with 95 % intervals.

    The band is the base's interval; the dotted line is who always says the commonest answer.
    """
    panels, top = "", 0
    for result in results:
        panel = _Panel(result, top)
        panels += panel.svg()
        top = panel.bottom
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
        f'height="{top}" role="img" aria-label="right answers of each arm, and its cost">'
        f"<style>{STYLE}</style>{panels}</svg>\n"
    )


@dataclass(frozen=True)
class _Panel:
    """One task, with its upper edge at `top`."""

    result: TaskResult
    top: int

    @property
    def bottom(self) -> int:
        return self.top + TOP + LINE_HEIGHT * len(self.result.arms) + BOTTOM

    def svg(self) -> str:
        arms = sorted(self.result.arms, key=_core_seconds)
        lines = (self._line(arm, self._y(place)) for place, arm in enumerate(arms))
        return "".join((*self._frame(), *lines))

    def _frame(self) -> Iterator[str]:
        first, last = self.top + TOP - 8, self.bottom - BOTTOM
        yield _text(LEFT, self.top + 22, self.result.title, style="title")
        yield _text(WIDTH - RIGHT + 16, first, "core s of training")
        base = self.result.arms[0].accuracy
        left, right = _x(base["low"]), _x(base["high"])
        yield f'<rect class="band" x="{left:.1f}" y="{first}" width="{max(right - left, 1):.1f}" '
        yield f'height="{last - first}"/>'
        for share in SHARES:
            yield f'<path class="grid" d="M{_x(share):.1f} {first}V{last}"/>'
            yield _text(_x(share), last + 16, f"{share:.0%}", anchor="middle")
        chance = _x(self.result.commonest)
        yield f'<path class="chance" d="M{chance:.1f} {first}V{last}"/>'

    def _line(self, arm: ArmResult, y: float) -> str:
        low, value, high = (_x(arm.accuracy[name]) for name in ("low", "value", "high"))
        style = "arm start" if not arm.method else "arm dpo" if arm.objective == "dpo" else "arm"
        ends = "".join(f"M{end:.1f} {y - WHISKER:g}v{2 * WHISKER}" for end in (low, high))
        after = f" after {arm.after}" if arm.after else ""
        cost = f"{_core_seconds(arm):,.0f}" if arm.method else ""
        return (
            _text(LEFT - 12, y + 4, f"{arm.name}{after}", anchor="end")
            + f'<path class="{style}" d="M{low:.1f} {y:g}H{high:.1f}{ends}"/>'
            + f'<circle class="{style}" cx="{value:.1f}" cy="{y:g}" r="4"/>'
            + _text(WIDTH - RIGHT + 16, y + 4, cost)
        )

    def _y(self, place: int) -> float:
        return self.top + TOP + LINE_HEIGHT * (place + 0.5)


def _core_seconds(arm: ArmResult) -> float:
    return float(arm.cost.get(COST) or 0.0)


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, words: str, *, style: str = "", anchor: str = "start") -> str:
    known = f' class="{style}"' if style else ""
    return f'<text{known} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'
