/** Server-sent events read by `fetch`, because `EventSource` cannot send a credential. */

export interface ServerEvent {
  id: string;
  /** Empty for a plain one. */
  type: string;
  data: string;
}

/** The events of an answer, in order; those that a broken connection cut off are left out. */
export async function* eventsIn(answer: Response): AsyncGenerator<ServerEvent> {
  if (answer.body === null) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
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

function eventOf(block: string): ServerEvent | null {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const [name = "", value = ""] = line.split(/: ?(.*)/s, 2);
    if (name) fields[name] = value;
  }
  if (fields.data === undefined) return null;
  return { id: fields.id ?? "", type: fields.event ?? "", data: fields.data };
}
