/** A line chart of figures by step, which grows while a job runs; a stretch of it can be chosen. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Figures, StepRange } from "../api/job_metrics";
import { figure, whole } from "../format";
import { t } from "../i18n";
import { language, theme } from "../preferences";

const HEIGHT = 220;
const COLOURS = ["#0172ad", "#c25e00", "#1f7a3d", "#8a3ffc"];
/** One more than colours, so that no two of twenty lines are alike; the first is drawn through. */
const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3], [5, 8]];

interface ChartProps {
  title: string;
  /** Names of the figures that are drawn. */
  names: readonly string[];
  figures: Figures;
  /** Called with the steps over which somebody draws, and with null for all of them. */
  choose: (range: StepRange | null) => void;
}

export function Chart({ title, names, figures, choose }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const chosen = useRef(choose);
  chosen.current = choose;
  const data = columnsOf(names, figures);
  const drawn = `${theme.value} ${language.value}`;

  useEffect(() => {
    const { current } = place;
    if (!current) return;
    const made = new uPlot(optionsOf(names, current, (range) => chosen.current(range)), data, current);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: current.clientWidth, height: HEIGHT }));
    resized.observe(current);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [names.join(" "), drawn]);

  useEffect(() => plot.current?.setData(data));

  return (
    <figure class="chart" aria-label={title} data-points={data[0].length}>
      <figcaption>
        {title} <small>{summary(names, figures)}</small>
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}

type Columns = [steps: number[], ...values: (number | null)[][]];

/** Steps, and the values of each figure there; a figure may lack some steps. */
function columnsOf(names: readonly string[], figures: Figures): Columns {
  const drawn = names.flatMap((name) => figures.get(name) ?? []);
  const steps = [...new Set(drawn.flatMap((line) => line.steps))].sort((a, b) => a - b);
  const columns = drawn.map((line) => {
    const values = new Map(line.steps.map((step, n) => [step, line.values[n] ?? null]));
    return steps.map((step) => values.get(step) ?? null);
  });
  return [steps, ...columns];
}

/** What the picture says, for who does not see it. */
function summary(names: readonly string[], figures: Figures): string {
  const lines = names.flatMap((name) => figures.get(name) ?? []);
  const last = names.map((name) => {
    const value = figures.get(name)?.values.at(-1);
    return value === undefined ? "" : `${name} ${figure(value)}`;
  });
  const total = Math.max(0, ...lines.map((line) => line.total));
  const points = Math.max(0, ...lines.map((line) => line.steps.length));
  const values = { points: whole(points), total: whole(total), last: last.filter(Boolean).join(", ") };
  return t(points < total ? "chart.sampled" : "chart.summary", values);
}

function optionsOf(names: readonly string[], place: HTMLElement, choose: ChartProps["choose"]): uPlot.Options {
  const style = getComputedStyle(place);
  const ink = style.getPropertyValue("--pico-color") || style.color;
  const grid = { stroke: style.getPropertyValue("--pico-muted-border-color"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    // The points of the chosen steps are asked for, instead of drawing the few that are here larger.
    cursor: { drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => () => (choose(null), null) } },
    hooks: { setSelect: [(made) => chooseSelected(made, choose)] },
    scales: { x: { time: false } },
    axes: [
      { ...axis, values: (_, splits) => splits.map((each) => (Number.isInteger(each) ? whole(each) : "")) },
      { ...axis, size: 70, values: (_, splits) => splits.map((each) => figure(each)) },
    ],
    series: [
      { label: t("chart.step") },
      ...names.map((label, n) => ({
        label,
        stroke: COLOURS[n % COLOURS.length] ?? ink,
        dash: DASHES[n % DASHES.length] ?? [],
        width: 1.5,
        spanGaps: true,
      })),
    ],
  };
}

function chooseSelected(made: uPlot, choose: ChartProps["choose"]): void {
  const { left, width } = made.select;
  if (width === 0) return;
  const first = Math.max(0, Math.floor(made.posToVal(left, "x")));
  const last = Math.ceil(made.posToVal(left + width, "x"));
  made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  choose({ first, last });
}
