/** Server-sent events read by `fetch`, because `EventSource` cannot send a credential. */

export interface ServerEvent {
  id: string;
  /** Empty for a plain one. */
  type: string;
  data: string;
}

/** Nothing came for so long that the connection must be dead. */
export class SilentError extends Error {}

/**
 * The events of an answer, in order; those that a broken connection cut off are left out.
 *
 * @param patienceMs how long nothing at all may come; 0 for ever.
 * @throws SilentError nothing came.
 */
export async function* eventsIn(answer: Response, patienceMs = 0): AsyncGenerator<ServerEvent> {
  if (answer.body === null) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await soon(reader.read(), patienceMs);
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = eventOf(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function soon<T>(awaited: Promise<T>, patienceMs: number): Promise<T> {
  if (!patienceMs) return awaited;
  let timer: ReturnType<typeof setTimeout>;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SilentError()), patienceMs);
  });
  return Promise.race([awaited, silence]).finally(() => clearTimeout(timer));
}

function eventOf(block: string): ServerEvent | null {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const [name = "", value = ""] = line.split(/: ?(.*)/s, 2);
    if (name) fields[name] = value;
  }
  if (fields.data === undefined) return null;
  return { id: fields.id ?? "", type: fields.event ?? "", data: fields.data };
}
