/** How a row of a file becomes a conversation. */

export const LAYOUTS = ["openai_chat", "sharegpt", "alpaca", "preference", "text"] as const;

export interface Mapping {
  /** Empty where templates say it. */
  layout: string;
  system_template: string;
  user_template: string;
  answer_template: string;
}

export const NO_MAPPING: Mapping = { layout: "", system_template: "", user_template: "", answer_template: "" };

/** What the API proposes, or takes: what is not said is null there. */
export function mappingOf(told: { [field in keyof Mapping]: string | null }): Mapping {
  const { layout, system_template, user_template, answer_template } = told;
  return {
    layout: layout ?? "",
    system_template: system_template ?? "",
    user_template: user_template ?? "",
    answer_template: answer_template ?? "",
  };
}

/** As the API takes it: a layout or templates, never both. */
export function bodyOf(mapping: Mapping): Partial<Mapping> {
  if (mapping.layout) return { layout: mapping.layout };
  const { layout: _, ...templates } = mapping;
  return templates;
}
