/** Words of the console in the language that was chosen; `locales/` has them. */
import { language, type Language } from "./preferences";
import en from "./locales/en.json";
import zh from "./locales/zh.json";

export type MessageKey = keyof typeof en;
/** The compiler refuses a language that lacks a message. */
const CATALOGS: Record<Language, Record<MessageKey, string>> = { en, zh };

/** The message, with what stands in braces replaced by values. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  return CATALOGS[language.value][key].replaceAll(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** The message for a state that the API names, or its own name for one that is newer than the console. */
export function named(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in en ? t(key as MessageKey) : name;
}
