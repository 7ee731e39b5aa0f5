/** Idempotency keys: an order that is repeated, because its answer got lost, is taken once. */
import { useRef } from "preact/hooks";

const KEY_BYTES = 16;

/** The key of an order by what is ordered; something else has another one. */
export function useOrderKey(): (body: string) => string {
  const last = useRef({ body: "", key: "" });
  return (body) => {
    if (last.current.body !== body) last.current = { body, key: randomKey() };
    return last.current.key;
  };
}

/** Without `randomUUID`, which browsers have only where the page came over TLS or from this machine. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(KEY_BYTES))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
