/** A line chart of figures by step, which grows while a job runs. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Figures } from "../api/job_history";
import { figure, whole } from "../format";
import { t } from "../i18n";
import { language, theme } from "../preferences";

const HEIGHT = 220;
const COLOURS = ["#0172ad", "#c25e00", "#1f7a3d", "#8a3ffc"];

interface ChartProps {
  title: string;
  /** Names of the figures that are drawn. */
  names: readonly string[];
  figures: Figures;
}

export function Chart({ title, names, figures }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = columnsOf(names, figures);
  const drawn = `${theme.value} ${language.value}`;

  useEffect(() => {
    const { current } = place;
    if (!current) return;
    const made = new uPlot(optionsOf(names, current), data, current);
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
        {title} <small>{summary(names, data)}</small>
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}

type Columns = [steps: number[], ...values: (number | null)[][]];

/** Steps, and the values of each figure there; a figure may lack some steps. */
export function columnsOf(names: readonly string[], figures: Figures): Columns {
  const drawn = names.map((name) => figures.get(name) ?? new Map<number, number>());
  const steps = [...new Set(drawn.flatMap((values) => [...values.keys()]))].sort((a, b) => a - b);
  return [steps, ...drawn.map((values) => steps.map((step) => values.get(step) ?? null))];
}

/** What the picture says, for who does not see it. */
function summary(names: readonly string[], data: Columns): string {
  const last = names.map((name, n) => {
    const value = data[n + 1]?.findLast((each) => each !== null) ?? null;
    return value === null ? "" : `${name} ${figure(value)}`;
  });
  return t("chart.summary", { points: whole(data[0].length), last: last.filter(Boolean).join(", ") });
}

function optionsOf(names: readonly string[], place: HTMLElement): uPlot.Options {
  const style = getComputedStyle(place);
  const ink = style.getPropertyValue("--pico-color") || style.color;
  const grid = { stroke: style.getPropertyValue("--pico-muted-border-color"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [axis, { ...axis, size: 70, values: (_, splits) => splits.map((each) => figure(each)) }],
    series: [
      { label: t("chart.step") },
      ...names.map((label, n) => ({ label, stroke: COLOURS[n % COLOURS.length] ?? ink, width: 1.5, spanGaps: true })),
    ],
  };
}
