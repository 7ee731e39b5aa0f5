/** Numbers, sizes and times as people of the chosen language write them, in their own time zone. */
import { language } from "./preferences";

const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
const DAY = 86_400;

export function figure(value: number): string {
  const options = { maximumSignificantDigits: 4 } as const;
  const small = value !== 0 && Math.abs(value) < 0.001;
  return new Intl.NumberFormat(language.value, small ? { ...options, notation: "scientific" } : options).format(value);
}

export function whole(value: number): string {
  return new Intl.NumberFormat(language.value, { maximumFractionDigits: 0 }).format(value);
}

export function percent(share: number): string {
  return new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** A share that may be small, as of errors: one in a thousand is not none. */
export function share(value: number): string {
  return new Intl.NumberFormat(language.value, { style: "percent", maximumSignificantDigits: 2 }).format(value);
}

export function bytes(value: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), SIZES.length - 1);
  return unit(value / 1000 ** power, SIZES[power] ?? "byte", 1);
}

/** A short time, as of a first token. */
export function shortTime(milliseconds: number): string {
  return milliseconds < 1000 ? unit(milliseconds, "millisecond") : unit(milliseconds / 1000, "second", 2);
}

export function duration(seconds: number): string {
  if (seconds < 60) return unit(Math.ceil(seconds), "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${unit(hours, "hour")} ${unit(minutes % 60, "minute")}`;
  return unit(Math.round(hours / 24), "day");
}

export function ago(unixSeconds: number): string {
  const passed = unixSeconds - Date.now() / 1000;
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto" });
  const [step, name] = stepOf(Math.abs(passed));
  return format.format(Math.round(passed / step), name);
}

export function when(unixSeconds: number): string {
  const format = new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "medium" });
  return format.format(new Date(unixSeconds * 1000));
}

/** A day of UTC, by where it begins, as seen from today. */
export function dayAgo(unixSeconds: number): string {
  const days = Math.floor(Date.now() / 1000 / DAY) - Math.floor(unixSeconds / DAY);
  return new Intl.RelativeTimeFormat(language.value, { numeric: "auto" }).format(days && -days, "day");
}

/** The day of the own time zone in which a moment lies. */
export function dayOf(unixSeconds: number): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: "medium" }).format(new Date(unixSeconds * 1000));
}

/** Millionths of the operator's currency, which the console does not know. */
export function money(micros: number): string {
  return new Intl.NumberFormat(language.value, { minimumFractionDigits: 2, maximumFractionDigits: 4 }).format(micros / 1e6);
}

function stepOf(seconds: number): [number, Intl.RelativeTimeFormatUnit] {
  if (seconds < 60) return [1, "second"];
  if (seconds < 3600) return [60, "minute"];
  return seconds < DAY ? [3600, "hour"] : [DAY, "day"];
}

function unit(value: number, name: string, digits = 0): string {
  const options = { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language.value, options).format(value);
}
