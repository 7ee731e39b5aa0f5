/** The gateway's description of its API. */
import type { ApiDocument } from "./body_fields";
import { ask } from "./client";
import { useResult, type Loaded } from "./loaded";

const PATH = "/openapi.json";
let kept: ApiDocument | null = null;

/** Asked for once until the page is loaded anew: it is the largest answer that the console reads. */
export function useApiDocument(): Loaded<ApiDocument> {
  return useResult(PATH, async (stop) => (kept ??= await ask<ApiDocument>(PATH, { signal: stop })));
}
