/** The tenant's moderation policy: what is in force, its versions, and what a change would do. */
import type { JsonObject } from "./body_values";
import { ask } from "./client";

export const POLICY = "/v1/moderation/policy";

export interface PolicyVersion {
  /** `shared` where the tenant has no policy of its own. */
  tenant: string;
  version: number;
  /** Null where from here on the shared policy judges. */
  digest: string | null;
  follows_shared: boolean;
  restores_version: number | null;
  changed_by: string;
  changed_at: number | null;
}

export interface PolicyDocument {
  name: string;
  text: string;
}

export interface Policy extends PolicyVersion {
  documents: PolicyDocument[];
  default_documents: PolicyDocument[];
  removed_default_rules: string[];
}

export interface PolicyChange extends PolicyVersion {
  written: boolean;
  changes: { added_rules: string[]; removed_rules: string[]; changed_rules: string[]; changed_settings: string[] };
  /** Default rules that would judge no more, and that the request does not name. */
  unconfirmed_default_rules: string[];
}

/** Whether the tenant has one of its own. */
export function isOwn(policy: PolicyVersion): boolean {
  return policy.tenant !== "shared" && !policy.follows_shared;
}

interface PutPolicy {
  documents: readonly PolicyDocument[];
  isDryRun: boolean;
  /** Digest of the policy that somebody looked at; another one in force is a conflict. */
  expected: string | null;
  /** Default rules that may go. */
  removing: readonly string[];
}

export function putPolicy(put: PutPolicy): Promise<PolicyChange> {
  return ask<PolicyChange>(POLICY, { method: "PUT", body: policyBody(put) });
}

export function policyBody({ documents, isDryRun, expected, removing }: PutPolicy): JsonObject {
  const written = documents.map(({ name, text }) => ({ name, text }));
  return { documents: written, dry_run: isDryRun, expected_digest: expected, remove_default_rules: [...removing] };
}

/** Bring a version back, or let the shared policy judge where none is named. */
export function revertPolicy(version: number | null, expected: string | null, removing: readonly string[]): Promise<PolicyVersion> {
  const target = version === null ? { shared: true } : { version };
  const body = { ...target, expected_digest: expected, remove_default_rules: removing };
  return ask<PolicyVersion>(`${POLICY}/revert`, { method: "POST", body });
}

/** What is wrong in a document, and where, as far as that is known. */
export interface PlacedError {
  document: string;
  line: number | null;
  message: string;
}

/** Errors as the API has them: `document:line: message`. */
export function placed(error: string, documents: readonly PolicyDocument[]): PlacedError {
  const document = documents.find(({ name }) => error.startsWith(`${name}:`))?.name;
  if (document === undefined) return { document: "", line: null, message: error };
  const [, line, message] = /^(\d+)?:? ?(.*)$/s.exec(error.slice(document.length + 1)) ?? [];
  return { document, line: line === undefined ? null : Number(line), message: message ?? error };
}

/** First place where a rule matched, in characters of the text. */
export interface MatchedText {
  id: string;
  category: string;
  action: "allow" | "flag" | "mask" | "block";
  start: number;
  /** One past the last. */
  end: number;
}

export interface TextVerdict {
  flagged: boolean;
  blocked: boolean;
  /** Judges that gave no opinion. */
  unanswered: string[];
  matches: MatchedText[];
}

/** What the policy in force says of a text, and which one that was: another may have come into force just now. */
export async function judge(text: string): Promise<TextVerdict & { digest: string }> {
  const found = await ask<{ model: string; results: TextVerdict[] }>("/v1/moderations", { method: "POST", body: { input: text } });
  const [verdict] = found.results;
  if (verdict === undefined) throw new Error("the gateway gave no verdict");
  return { ...verdict, digest: found.model };
}

export interface TextPart {
  text: string;
  isMatched: boolean;
}

/** The text in parts: what a rule matched, and what lies between. Places count characters, not UTF-16. */
export function partsOf(text: string, matches: readonly MatchedText[]): TextPart[] {
  const letters = [...text];
  const edges = matches.flatMap(({ start, end }) => [start, end]);
  const cuts = [...new Set([0, ...edges, letters.length])].sort((a, b) => a - b);
  return cuts.slice(0, -1).map((start, n) => ({
    text: letters.slice(start, cuts[n + 1]).join(""),
    isMatched: matches.some((match) => match.start <= start && start < match.end),
  }));
}
