/** What an alias means: versions with weights, a shadow and fallbacks, as a form writes them. */
import { ask } from "./client";
import type { Alias } from "./types";

export const MOST_TARGETS = 8;
export const MOST_FALLBACKS = 4;
/** Of the tenant that nobody signs in to: every tenant sees its aliases. */
const SHARED = "shared";
/** Digits that a share keeps: a tenth of a percent of a percent is nothing that somebody means. */
const SHARE_DIGITS = 6;

/** A version that answers, and how much of the requests it gets beside the others. */
export interface Target {
  versionId: string;
  weight: string;
  /** As answers call it; empty for one that is new. */
  name: string;
}

/** As it is typed. */
export interface WrittenAlias {
  targets: readonly Target[];
  /** Empty for none. */
  shadowId: string;
  shadowPercent: string;
  fallback: readonly string[];
  /** Whether requests and answers are logged. */
  isStored: boolean;
}

type AliasMeaning = Pick<Alias, "variants" | "shadow" | "fallback" | "store"> & { version_id?: string };

export const NO_TARGET: Target = { versionId: "", weight: "1", name: "" };
export const NO_ALIAS: WrittenAlias = { targets: [NO_TARGET], shadowId: "", shadowPercent: "5", fallback: [], isStored: false };

/** Whether the tenant can remove it. */
export function isOwnAlias(alias: Alias): boolean {
  return alias.owned_by !== SHARED;
}

export function writtenAlias({ version_id, variants, shadow, fallback, store }: Alias): WrittenAlias {
  const several = variants?.map((each) => ({ versionId: each.version_id, weight: String(each.weight), name: each.name }));
  return {
    targets: several?.length ? several : [{ ...NO_TARGET, versionId: version_id }],
    shadowId: shadow?.version_id ?? "",
    shadowPercent: shadow ? String(rounded(shadow.share * 100)) : NO_ALIAS.shadowPercent,
    fallback: fallback ?? [],
    isStored: store ?? false,
  };
}

/** The body that sets it: one version alone has no weight. */
export function aliasBody({ targets, shadowId, shadowPercent, fallback, isStored }: WrittenAlias): AliasMeaning {
  const [first] = targets;
  const variants = targets.map(({ versionId, weight, name }) => ({ name: name || versionId, version_id: versionId, weight: Number(weight) }));
  return {
    ...(targets.length === 1 ? { version_id: first?.versionId ?? "" } : { variants }),
    ...(shadowId ? { shadow: { version_id: shadowId, share: rounded(Number(shadowPercent) / 100) } } : {}),
    ...(fallback.length ? { fallback: [...fallback] } : {}),
    ...(isStored ? { store: true } : {}),
  };
}

/** The share of the requests that a version gets; null where weights say nothing. */
export function shareOf(target: Target, targets: readonly Target[]): number | null {
  const sum = targets.reduce((total, each) => total + Number(each.weight), 0);
  return sum > 0 ? Number(target.weight) / sum : null;
}

function rounded(value: number): number {
  return Number(value.toFixed(SHARE_DIGITS));
}

/** Everything is loaded before the alias moves, which may take minutes. Throws as `ask` does. */
export function setAlias(name: string, body: AliasMeaning): Promise<Alias> {
  return ask<Alias>(aliasPath(name), { method: "PUT", body });
}

export async function removeAlias(name: string): Promise<void> {
  await ask(aliasPath(name), { method: "DELETE" });
}

export function aliasPath(name: string): string {
  return `/v1/aliases/${encodeURIComponent(name)}`;
}
