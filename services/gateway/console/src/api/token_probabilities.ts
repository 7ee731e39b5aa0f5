/** How likely tokens of an answer were: whether a model's engine can tell, what is asked for it, and what came. */
import { isVersion, type ModelList } from "./types";

export interface TokenAlternative {
  text: string;
  /** From 0 to 1. */
  probability: number;
}

export interface TokenProbability extends TokenAlternative {
  /** What else the model could have said here, likeliest first; the token itself may be among them. */
  alternatives: readonly TokenAlternative[];
}

/** A token as `logprobs` of the API has it. */
export interface LogprobToken {
  token: string;
  bytes: number[];
  logprob: number;
  top_logprobs: { token: string; logprob: number }[];
}

/** What the engine of a model can tell of tokens. */
export interface TokenAbility {
  /** Null while no engine has loaded the version. */
  hasProbabilities: boolean | null;
  alternatives: number;
}

const MOST_ALTERNATIVES = 5;
const NOT_KNOWN: TokenAbility = { hasProbabilities: null, alternatives: 0 };

/** Of an alias or a version. */
export function abilityOf({ data }: ModelList, model: string): TokenAbility {
  const entry = data.find((each) => each.id === model);
  const id = entry && !isVersion(entry) ? entry.version_id : model;
  const version = data.find((each) => each.id === id);
  if (!version || !isVersion(version) || !version.capabilities) return NOT_KNOWN;
  const { logprobs, top_logprobs } = version.capabilities;
  return { hasProbabilities: logprobs, alternatives: Math.min(top_logprobs, MOST_ALTERNATIVES) };
}

/** Fields of a request for them; none where the engine has none. */
export function fieldsFor({ hasProbabilities, alternatives }: TokenAbility): { logprobs?: true; top_logprobs?: number } {
  if (hasProbabilities === false) return {};
  return { logprobs: true, ...(alternatives > 0 ? { top_logprobs: alternatives } : {}) };
}

/** Tokens as they are shown: what is a part of a character alone is joined with the others of it. */
export function shownTokens(tokens: readonly LogprobToken[]): TokenProbability[] {
  const decoder = new TextDecoder();
  const found: TokenProbability[] = [];
  let waiting = 0;
  for (const { bytes, logprob, top_logprobs } of tokens) {
    const text = decoder.decode(Uint8Array.from(bytes), { stream: true });
    const isWhole = waiting === 0;
    waiting += logprob;
    if (text === "") continue;
    // Of several together, alternatives of one of them would say nothing.
    const alternatives = isWhole ? top_logprobs.map((each) => ({ text: each.token, probability: Math.exp(each.logprob) })) : [];
    found.push({ text, probability: Math.exp(waiting), alternatives });
    waiting = 0;
  }
  return found;
}
