/** Language and theme of this browser: what was chosen, else what the browser asks for. */
import { effect, signal } from "@preact/signals";

export const LANGUAGES = ["en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const preferred: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

export const language = signal(kept("modelmill.language", LANGUAGES, preferred));
export const theme = signal(kept("modelmill.theme", THEMES, "auto"));

effect(() => {
  localStorage.setItem("modelmill.language", language.value);
  document.documentElement.lang = language.value;
});

effect(() => {
  localStorage.setItem("modelmill.theme", theme.value);
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});

function kept<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
  const found = localStorage.getItem(name);
  return choices.find((each) => each === found) ?? otherwise;
}
