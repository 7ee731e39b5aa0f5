/** Where a version comes from and what became of it: datasets, versions and aliases as a graph. */
import type { Alias, Version } from "./types";

/** Of versions in a picture; a base may have thousands that were made from it. */
export const MOST_VERSIONS = 40;

export interface LineageNode {
  id: string;
  kind: "dataset" | "version" | "alias";
  title: string;
  detail: string;
}

export interface LineageGraph {
  nodes: readonly LineageNode[];
  /** From what something was made to what was made; from a version to the aliases that ask it. */
  edges: readonly (readonly [from: string, to: string])[];
  /** How many versions that were made from this one are left out. */
  left: number;
}

/** The ancestors of a version, itself, and what was made from it, the oldest first. */
export function lineageOf(version: Version, versions: readonly Version[], aliases: readonly Alias[]): LineageGraph {
  const byId = new Map(versions.map((each) => [each.id, each]));
  const ancestors = reached(version, (each) => parentOf(each, byId));
  const children = new Map<string, Version[]>();
  for (const each of versions) {
    for (const { id } of parentOf(each, byId)) children.set(id, [...(children.get(id) ?? []), each]);
  }
  const descendants = reached(version, (each) => children.get(each.id) ?? []).filter((each) => !ancestors.includes(each));
  const room = Math.max(0, MOST_VERSIONS - ancestors.length);
  const shown = [version, ...ancestors, ...descendants.slice(0, room)];
  return { ...graphOf(shown, byId, aliases), left: Math.max(0, descendants.length - room) };
}

/** What a step after another leads to, the nearest first, without the beginning. */
function reached(version: Version, next: (version: Version) => readonly Version[]): Version[] {
  const found = new Set<Version>([version]);
  for (const each of found) for (const other of next(each)) found.add(other);
  found.delete(version);
  return [...found];
}

/** What a version was made from; the base of one whose parent was retired. Empty for the first. */
function parentOf({ id, parent_version_id, base_version_id }: Version, byId: ReadonlyMap<string, Version>): Version[] {
  const named = [parent_version_id, base_version_id].filter((each) => each !== id);
  return named.flatMap((each) => byId.get(each ?? "") ?? []).slice(0, 1);
}

function graphOf(
  versions: readonly Version[],
  byId: ReadonlyMap<string, Version>,
  aliases: readonly Alias[],
): Pick<LineageGraph, "nodes" | "edges"> {
  const ids = new Set(versions.map((each) => each.id));
  const nodes = new Map<string, LineageNode>();
  const edges: [string, string][] = [];
  for (const version of versions) {
    nodes.set(version.id, { id: version.id, kind: "version", title: version.name || version.id, detail: version.form });
    for (const { id } of parentOf(version, byId)) if (ids.has(id)) edges.push([id, version.id]);
    const { dataset_id } = version;
    if (dataset_id) {
      nodes.set(dataset_id, { id: dataset_id, kind: "dataset", title: dataset_id, detail: "" });
      edges.push([dataset_id, version.id]);
    }
  }
  for (const alias of aliases) {
    for (const id of targetsOf(alias)) {
      if (!ids.has(id)) continue;
      nodes.set(`alias ${alias.id}`, { id: `alias ${alias.id}`, kind: "alias", title: alias.id, detail: "" });
      edges.push([id, `alias ${alias.id}`]);
    }
  }
  return { nodes: [...nodes.values()], edges };
}

/** Versions that answer under an alias; a shadow's answers nobody sees. */
function targetsOf({ version_id, variants }: Alias): string[] {
  const ids = variants?.length ? variants.map((each) => each.version_id) : [version_id];
  return [...new Set(ids)];
}
