/** Forms by cost and quality lost: the Pareto frontier drawn, what is beaten dimmed, bounds as lines. */
import { LIMITED_LOSS, type FormComparison, type Measure, type PlacedForm } from "../api/form_candidates";
import type { ScoreEstimate } from "../api/job_comparison";
import { figure } from "../format";
import { named, t } from "../i18n";
import { addressOf } from "../routing";
import { labelPlaces, type LabelPlace } from "./label_places";

const WIDTH = 680;
const HEIGHT = 340;
const LEFT = 80;
const RIGHT = 20;
const TOP = 28;
const BOTTOM = 48;
const TICKS = 4;
const RADIUS = 6;
const LABEL_MIDDLE = 4;
const FAR = 24;
/** Names may stand beside the axes' lines, and not over what stands below and left of them. */
const FRAME = { left: LEFT, right: WIDTH, top: TOP, bottom: HEIGHT - BOTTOM, radius: RADIUS + 2 };

interface ParetoChartProps {
  title: string;
  of: FormComparison;
  forms: readonly PlacedForm[];
  cost: Measure;
  loss: Measure;
}

/** Where values stand on an axis. */
type Scale = (value: number) => number;

interface Point extends PlacedForm {
  cost: ScoreEstimate;
  loss: ScoreEstimate;
  x: number;
  y: number;
}

export function ParetoChart({ title, of, forms, cost, loss }: ParetoChartProps) {
  const goal = of.objective?.name === cost.name ? of.objective.value : null;
  const limit = loss.name === LIMITED_LOSS ? of.max_accuracy_loss : null;
  const known = forms.flatMap((each) => (each.cost && each.loss ? [{ ...each, cost: each.cost, loss: each.loss }] : []));
  const columns = rangeOf([...known.map((each) => each.cost), ...exact(goal)]);
  const rows = rangeOf([...known.map((each) => each.loss), ...exact(limit)]);
  const x: Scale = (value) => LEFT + (WIDTH - LEFT - RIGHT) * ((value - columns[0]) / (columns[1] - columns[0]));
  const y: Scale = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((value - rows[0]) / (rows[1] - rows[0]));
  const points: Point[] = known.map((each) => ({ ...each, x: x(each.cost.value), y: y(each.loss.value) }));
  const labels = labelPlaces(points.map(({ x, y, ...point }) => ({ x, y, name: nameOf(point) })), FRAME);
  return (
    <div class="overflow-auto" role="group" tabIndex={0} aria-label={title}>
      <svg class="pareto" role="presentation" width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`}>
        <Axes columns={columns} rows={rows} x={x} y={y} cost={cost} loss={loss} />
        {goal !== null && of.objective && (
          <g class="bound objective">
            <line x1={x(goal)} x2={x(goal)} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text x={x(goal)} y={TOP - 8} text-anchor="middle">
              {t(`pareto.${of.objective.bound}`, { value: valueText(goal, cost.unit) })}
            </text>
          </g>
        )}
        {limit !== null && (
          <g class="bound limit">
            <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(limit)} y2={y(limit)} />
            <text x={WIDTH - RIGHT} y={y(limit) - 6} text-anchor="end">
              {t("pareto.at_most", { value: valueText(limit, loss.unit) })}
            </text>
          </g>
        )}
        <polyline class="frontier" points={frontierOf(points)} />
        {points.map((point, n) => (
          <Mark key={point.number} point={point} label={labels[n] ?? { ...point, near: point.x }} x={x} y={y} cost={cost} loss={loss} />
        ))}
      </svg>
    </div>
  );
}

function exact(value: number | null): ScoreEstimate[] {
  return value === null ? [] : [{ value, low: null, high: null }];
}

/** From 0, or from below where a value is there, to somewhat more than all. */
function rangeOf(values: readonly ScoreEstimate[]): [number, number] {
  const least = Math.min(0, ...values.map(({ value, low }) => low ?? value));
  const most = Math.max(0, ...values.map(({ value, high }) => high ?? value));
  return [least, most > least ? most + (most - least) / 10 : least + 1];
}

function frontierOf(points: readonly Point[]): string {
  const best = points.filter((point) => point.isOnFrontier).sort((one, other) => one.x - other.x || one.y - other.y);
  return best.map(({ x, y }) => `${x},${y}`).join(" ");
}

interface AxesProps {
  columns: readonly [number, number];
  rows: readonly [number, number];
  x: Scale;
  y: Scale;
  cost: Measure;
  loss: Measure;
}

function Axes({ columns, rows, x, y, cost, loss }: AxesProps) {
  const foot = HEIGHT - BOTTOM;
  return (
    <g class="axes">
      <path d={`M${LEFT} ${TOP}V${foot}H${WIDTH - RIGHT}`} />
      {ticksOf(columns).map((value) => (
        <text key={value} x={x(value)} y={foot + 18} text-anchor="middle">
          {axisText(value, cost.unit)}
        </text>
      ))}
      {ticksOf(rows).map((value) => (
        <text key={value} x={LEFT - 8} y={y(value) + 4} text-anchor="end">
          {axisText(value, loss.unit)}
        </text>
      ))}
      <text x={(LEFT + WIDTH) / 2} y={HEIGHT - 8} text-anchor="middle">
        {measureText(cost)}
      </text>
      <text x={4} y={14}>
        {measureText(loss)}
      </text>
    </g>
  );
}

/** Round numbers within a range. */
function ticksOf([least, most]: readonly [number, number]): number[] {
  const raw = (most - least) / TICKS;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= raw) ?? 10);
  const first = Math.ceil(least / step);
  return Array.from({ length: Math.floor(most / step) - first + 1 }, (_, n) => (first + n) * step);
}

interface MarkProps {
  point: Point;
  /** Where its name stands. */
  label: LabelPlace;
  x: Scale;
  y: Scale;
  cost: Measure;
  loss: Measure;
}

/** A form: shape, not colour alone, says what it is. One that is kept leads to its page. */
function Mark({ point, label, x, y, cost, loss }: MarkProps) {
  const { of } = point;
  const name = nameOf(point);
  const says = [name, estimateText(point.cost, cost), estimateText(point.loss, loss), placeText(point)].join(", ");
  const shown = (
    <>
      <title>{says}</title>
      <Spread point={point} x={x} y={y} />
      {of.is_chosen && <circle class="chosen" cx={point.x} cy={point.y} r={RADIUS + 5} />}
      {of.refusal ? (
        <path d={crossOf(point)} />
      ) : (
        <circle class="dot" cx={point.x} cy={point.y} r={RADIUS} />
      )}
      {isFar(label, point) && <line class="leader" x1={point.x} y1={point.y} x2={label.near} y2={label.y - LABEL_MIDDLE} />}
      <text x={label.x} y={label.y}>
        {name}
      </text>
    </>
  );
  const look = `mark ${point.isOnFrontier ? "best" : "dominated"} ${of.refusal ? "refused" : ""}`;
  return of.version_id ? (
    <a class={look} href={addressOf("models", of.version_id)} aria-label={says}>
      {shown}
    </a>
  ) : (
    <g class={look} role="img" tabindex={0} aria-label={says}>
      {shown}
    </g>
  );
}

function nameOf({ number, of }: Pick<PlacedForm, "number" | "of">): string {
  return `${number} ${of.form}`;
}

/** Whether a line must say whose name it is. */
function isFar(label: LabelPlace, { y }: Point): boolean {
  return Math.abs(label.y - LABEL_MIDDLE - y) > FAR;
}

function crossOf({ x, y }: Point): string {
  return `M${x - RADIUS} ${y - RADIUS}l${2 * RADIUS} ${2 * RADIUS}m0 ${-2 * RADIUS}l${-2 * RADIUS} ${2 * RADIUS}`;
}

/** The 95 % intervals of both. */
function Spread({ point, x, y }: { point: Point; x: Scale; y: Scale }) {
  const { cost, loss } = point;
  return (
    <g class="spread">
      {cost.low !== null && cost.high !== null && <line x1={x(cost.low)} x2={x(cost.high)} y1={point.y} y2={point.y} />}
      {loss.low !== null && loss.high !== null && <line x1={point.x} x2={point.x} y1={y(loss.low)} y2={y(loss.high)} />}
    </g>
  );
}

export function measureText({ name, unit }: Measure): string {
  const words = named("pareto.measure", name);
  return unit && unit !== "share" ? t("pareto.with_unit", { name: words, unit }) : words;
}

export function valueText(value: number, unit: string): string {
  if (unit === "share") return `${figure(100 * value)} %`;
  return unit ? `${figure(value)} ${unit}` : figure(value);
}

function axisText(value: number, unit: string): string {
  return unit === "share" ? `${figure(100 * value)} %` : figure(value);
}

export function estimateText({ value, low, high }: ScoreEstimate, { unit }: Measure): string {
  if (low === null || high === null || low === high) return valueText(value, unit);
  const interval = t("compare.interval", { low: axisText(low, unit), high: axisText(high, unit) });
  return `${valueText(value, unit)} ${interval}`;
}

/** What became of a form, in words: chosen, on the frontier or beaten, and why it is refused. */
export function placeText({ of, cost, loss, isOnFrontier }: PlacedForm): string {
  const place = cost && loss ? t(isOnFrontier ? "pareto.on_frontier" : "pareto.dominated") : t("pareto.unmeasured");
  const refused = of.refusal && `${named("pareto.refused", of.refusal.code)}: ${of.refusal.reason}`;
  return [of.is_chosen && t("pareto.chosen"), place, refused].filter(Boolean).join(" · ");
}
