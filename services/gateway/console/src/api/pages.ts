/** A long list of the API: its first page, kept up to date, and more of it when somebody asks. */
import { useEffect, useState } from "preact/hooks";
import { ask } from "./client";
import { useLoaded, type Loaded } from "./loaded";
import type { Page } from "./types";

const RELOAD_SECONDS = 15;

interface Item {
  id: string;
}

interface DatedItem extends Item {
  created_at: number;
}

type Order<T> = (one: T, other: T) => number;

export interface LongList<T> extends Loaded<T[]> {
  hasMore: boolean;
  more: () => void;
}

interface Rest<T> {
  path: string;
  items: T[];
  /** Ids of the first page, as it was last. */
  first?: string[];
  /** Behind which the next page begins; null at the end, undefined where the first page ends. */
  after?: string | null;
}

/** The items at `path`, newest first. */
export function useLongList<T extends DatedItem>(path: string): LongList<T> {
  return useListOf<T>(path, newestFirst);
}

function newestFirst(one: DatedItem, other: DatedItem): number {
  return other.created_at - one.created_at;
}

/**
 * The items at `path`, in the order in which the API has them.
 *
 * @param seconds after which the first page is asked for again; 0 for never.
 */
export function useListOf<T extends Item>(path: string, order: Order<T>, seconds = RELOAD_SECONDS): LongList<T> {
  const first = useLoaded<Page<T>>(path, seconds);
  const [rest, setRest] = useState<Rest<T>>({ path, items: [] });
  const [error, setError] = useState<unknown>(null);
  const known = rest.path === path ? rest : { path, items: [] };
  const after = known.after === undefined ? (first.data?.has_more ? first.data.last_id : null) : known.after;

  // What falls off the first page when new items come is kept.
  useEffect(() => {
    if (first.data) setRest((old) => renewed(old.path === path ? old : { path, items: [] }, first.data, order));
  }, [first.data]);

  async function more() {
    try {
      const page = await ask<Page<T>>(`${path}${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(after ?? "")}`);
      const next = page.has_more ? page.last_id : null;
      setRest((old) => (old.path === path ? { ...joined(old, page.data, order), after: next } : old));
    } catch (refused) {
      setError(refused);
    }
  }

  const data = first.data && renewed(known, first.data, order).items;
  return { data, error: first.error ?? error, reload: first.reload, hasMore: Boolean(after), more: () => void more() };
}

/** With a first page that was asked for again: what should stand on it and does not was deleted. */
function renewed<T extends Item>(rest: Rest<T>, first: Page<T> | null, order: Order<T>): Rest<T> {
  const [before, now] = [rest.first ?? [], first?.data.map(idOf) ?? []];
  const left = before.findLastIndex((id) => now.includes(id));
  // What stood behind the last that is left was pushed off the page, unless others stand there now.
  const isShort = !first?.has_more || (left >= 0 && now.at(-1) !== before[left]);
  const stood = isShort ? before : before.slice(0, left + 1);
  const gone = new Set(stood.filter((id) => !now.includes(id)));
  const items = rest.items.filter((item) => !gone.has(item.id));
  return { ...joined({ ...rest, items }, first?.data ?? [], order), first: now };
}

function idOf(item: Item): string {
  return item.id;
}

function joined<T extends Item>(rest: Rest<T>, newer: T[], order: Order<T>): Rest<T> {
  const all = new Map([...rest.items, ...newer].map((item) => [item.id, item]));
  return { ...rest, items: [...all.values()].sort(order) };
}
