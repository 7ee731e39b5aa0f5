/** Words of order forms: names of fields and groups, and what fields mean, in the chosen language. */
import { named } from "./i18n";
import { language, type Language } from "./preferences";
import evaluateZh from "./locales/hints/evaluate.zh.json";
import optimizeZh from "./locales/hints/optimize.zh.json";
import trainZh from "./locales/hints/train.zh.json";

/** What is ordered by a form. */
export type JobForm = "train" | "evaluate" | "optimize";

/** What fields mean, by their paths. `/openapi.json` has it in English. */
const HINTS: Partial<Record<Language, Record<JobForm, Record<string, string>>>> = {
  zh: { train: trainZh, evaluate: evaluateZh, optimize: optimizeZh },
};

const PLACE = /\.\d+(?=\.)/g;

/** What the field at a path means, in any object of a list; null where only the API's own description says it. */
export function hintOf(form: JobForm, path: string): string | null {
  return HINTS[language.value]?.[form][path.replaceAll(PLACE, "")] ?? null;
}

export function fieldTitle(form: JobForm, name: string): string {
  return named(`${prefixOf(form)}.field`, name);
}

export function groupTitle(form: JobForm, name: string): string {
  return named(`${prefixOf(form)}.group`, name);
}

function prefixOf(form: JobForm): string {
  return form === "train" ? "train" : "order";
}
