/** Where names of points stand in a chart, so that none covers another name or another point. */

export interface LabelledPoint {
  x: number;
  y: number;
  name: string;
}

/** Where a text begins, at its base line. */
export interface LabelPlace {
  x: number;
  y: number;
  /** Where the text is nearest to its point. */
  near: number;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** What a chart has room for. */
export interface Frame extends Box {
  /** Of a mark, with what is drawn around it. */
  radius: number;
}

/** Of texts of the chart's size; somewhat more than a font takes, as nobody measures it. */
const CHAR_WIDTH = 7.4;
const LINE_HEIGHT = 16;
const ASCENT = 12;
const GAP = 12;
/** How many lines further above and below are tried. */
const MOST_LINES = 12;

/** A place for each name, in the order of the points: the usual one, up and right, where it is free. */
export function labelPlaces(points: readonly LabelledPoint[], frame: Frame): LabelPlace[] {
  const taken: Box[] = points.map(({ x, y }) => around(x, y, frame.radius));
  return points.map((point) => {
    const places = tried(point).filter((place) => isInside(boxOf(place, point.name), frame));
    const free = places.find((place) => taken.every((other) => !meet(boxOf(place, point.name), other)));
    // With more names than there is room for, the last ones stand where they would.
    const found = free ?? places[0] ?? usual(point);
    taken.push(boxOf(found, point.name));
    return found;
  });
}

function usual({ x, y }: LabelledPoint): LabelPlace {
  return { x: x + GAP, y: y - 8, near: x + GAP };
}

/** Nearest first: right and left of the point, in lines away from it. */
function tried(point: LabelledPoint): LabelPlace[] {
  const right = usual(point);
  const left = point.x - GAP - widthOf(point.name);
  return Array.from({ length: 2 * MOST_LINES }, (_, n) => (n % 2 ? 1 : -1) * Math.ceil(n / 2) * LINE_HEIGHT).flatMap((down) => [
    { ...right, y: right.y + down },
    { x: left, y: right.y + down, near: point.x - GAP },
  ]);
}

function widthOf(name: string): number {
  return name.length * CHAR_WIDTH;
}

function boxOf({ x, y }: LabelPlace, name: string): Box {
  return { left: x, right: x + widthOf(name), top: y - ASCENT, bottom: y + LINE_HEIGHT - ASCENT };
}

function around(x: number, y: number, radius: number): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}

function isInside(box: Box, { left, right, top, bottom }: Frame): boolean {
  return box.left >= left && box.right <= right && box.top >= top && box.bottom <= bottom;
}

function meet(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}
