/** The recipe that makes a model as a training order does: also the dataset, from its files. */
import { ask } from "./client";
import type { JsonObject } from "./body_values";
import { asYaml } from "./request_texts";
import type { Dataset, Job } from "./types";

/** What a recipe says of the rows, and where its files come from. */
export interface RecipeData {
  /** Of the dataset. */
  name: string;
  data: JsonObject;
  files: { id: string; name: string }[];
}

/** Fields of the order that a recipe fills in, or has no place for. */
const FILLED_IN = ["model", "training_file", "suffix", "validation_file", "priority"];
const NO_PLACE = ["validation_file", "priority"];
const NAME_CHARS = 64;
const MOST_NAMED = 20;

/**
 * What made a dataset, as its order said it.
 *
 * @throws as `ask` does.
 */
export async function recipeDataOf(datasetId: string, stop: AbortSignal): Promise<RecipeData> {
  const asked = { signal: stop };
  const dataset = await ask<Dataset>(`/v1/datasets/${encodeURIComponent(datasetId)}`, asked);
  const job = await ask<Job>(`/v1/jobs/${encodeURIComponent(dataset.job_id)}`, asked);
  const { file_id, file_ids, name: _, seed, ...spec } = job.spec as JsonObject;
  const files = [];
  for (const id of (file_ids ?? [file_id]) as string[]) files.push({ id, name: files.length < MOST_NAMED ? await nameOf(id, stop) : id });
  const names = files.map((file) => file.name);
  // Messages write a 64-bit number as a text.
  return { name: dataset.name ?? "", data: { files: names, ...(seed === undefined ? {} : { seed: Number(seed) }), ...spec }, files };
}

async function nameOf(fileId: string, stop: AbortSignal): Promise<string> {
  const file = await ask<{ filename: string }>(`/v1/files/${encodeURIComponent(fileId)}`, { signal: stop });
  return file.filename;
}

/** The text that `mill run` takes. */
export function asRecipe(order: JsonObject, { name, data, files }: RecipeData): string {
  const training = Object.fromEntries(Object.entries(order).filter(([name]) => !FILLED_IN.includes(name)));
  const recipe: JsonObject = {
    name: recipeName(String(order.suffix ?? name)),
    base: order.model ?? "",
    data,
    ...(Object.keys(training).length ? { training } : {}),
  };
  return [...remarks(order, files), asYaml(recipe), ""].join("\n");
}

/** For whoever reads the file, in the language of recipes. */
function remarks(order: JsonObject, files: RecipeData["files"]): string[] {
  const missing = NO_PLACE.filter((name) => name in order);
  return [
    "# mill run recipe.yaml; with --plan it orders nothing, and shows rows, tokens, memory and time",
    "# The files stand beside this one:",
    ...files.map((file) => `#   mill files download ${file.id} --output ${quoted(file.name)}`),
    ...missing.map((name) => `# A recipe has no place for ${name}: ${JSON.stringify(order[name])}`),
  ];
}

/** As a shell reads it, on one line. */
function quoted(name: string): string {
  return `'${name.replaceAll("'", "'\\''").replaceAll(/\p{Cc}/gu, " ")}'`;
}

function recipeName(suffix: string): string {
  const allowed = suffix.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+/, "");
  return allowed.slice(0, NAME_CHARS) || "model";
}
