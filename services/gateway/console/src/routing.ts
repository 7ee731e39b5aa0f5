/** The page that the address names: everything behind `#`, which no server is sent. */
import { signal } from "@preact/signals";

export interface Place {
  /** First part of the path; empty is home. */
  page: string;
  /** What the page is about; empty for a list. */
  id: string;
  query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [page = "", id = ""] = path.split("/", 2);
  return { page, id: decoded(id), query: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const place = signal(placeOf(location.hash));

addEventListener("hashchange", () => {
  place.value = placeOf(location.hash);
});

export function addressOf(page: string, id = "", query: Record<string, string> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value);
  const asked = new URLSearchParams(given).toString();
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}${asked ? `?${asked}` : ""}`;
}
