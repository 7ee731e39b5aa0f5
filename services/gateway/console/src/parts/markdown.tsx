/** The part of Markdown that model cards are written in, as elements; whatever else there is stays text. */
import type { ComponentChildren } from "preact";

const FENCE = /^```/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s*[-*]\s+(.*)$/;
const ROW = /^\|(.*)\|\s*$/;
const RULE = /^\|[\s:|-]+\|\s*$/;
const PICTURE = /^!\[[^\]]*\]\([^)]*\)\s*$/;
/** Code, bold text, and signs that a backslash makes plain. */
const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\\([\\`*_[\]<>|#])/g;
const CELL_ENDS = /(?<!\\)\|/;

type Matches = (line: string) => boolean;

interface Block {
  matches: Matches;
  show: (lines: string[]) => ComponentChildren;
}

/** Of several lines that are alike; the first one that matches counts. */
const BLOCKS: readonly Block[] = [
  { matches: (line) => ROW.test(line), show: (lines) => <MarkdownTable lines={lines} /> },
  { matches: (line) => ITEM.test(line), show: (lines) => <ItemList lines={lines} /> },
  { matches: (line) => PICTURE.test(line), show: () => null },
  { matches: (line) => line.trim() === "", show: () => null },
];

export function Markdown({ text }: { text: string }) {
  const shown: ComponentChildren[] = [];
  const lines = text.split(/\r?\n/);
  while (lines.length > 0) shown.push(next(lines));
  return <div class="markdown">{shown}</div>;
}

/** The first block; its lines are taken away. */
function next(lines: string[]): ComponentChildren {
  const first = lines[0] ?? "";
  if (FENCE.test(first)) return <Code lines={fenced(lines)} />;
  const heading = HEADING.exec(first);
  if (heading) return lines.shift(), <Heading level={heading[1]?.length ?? 1}>{inline(heading[2] ?? "")}</Heading>;
  const block = BLOCKS.find(({ matches }) => matches(first));
  if (block) return block.show(taken(lines, block.matches));
  const isPlain: Matches = (line) => !FENCE.test(line) && !HEADING.test(line) && !BLOCKS.some(({ matches }) => matches(line));
  return <p class="text">{inline(taken(lines, isPlain).join("\n"))}</p>;
}

function taken(lines: string[], matches: Matches): string[] {
  const end = lines.findIndex((line) => !matches(line));
  return lines.splice(0, end < 0 ? lines.length : end);
}

function fenced(lines: string[]): string[] {
  lines.shift();
  const code = taken(lines, (line) => !FENCE.test(line));
  lines.shift();
  return code;
}

function Code({ lines }: { lines: string[] }) {
  return <pre tabIndex={0}>{lines.join("\n")}</pre>;
}

/** Below the heading of the section that a card is in. */
function Heading({ level, children }: { level: number; children: ComponentChildren }) {
  return level === 1 ? <h3>{children}</h3> : level === 2 ? <h4>{children}</h4> : <h5>{children}</h5>;
}

function ItemList({ lines }: { lines: string[] }) {
  return (
    <ul>
      {lines.map((line, n) => (
        <li key={n}>{inline(ITEM.exec(line)?.[1] ?? "")}</li>
      ))}
    </ul>
  );
}

function MarkdownTable({ lines }: { lines: string[] }) {
  const [head = [], ...rows] = lines.filter((line) => !RULE.test(line)).map(cellsOf);
  return (
    <div class="overflow-auto" tabIndex={0} role="group" aria-label={head.join(", ")}>
      <table>
        <thead>
          <tr>
            {head.map((cell, n) => (cell ? <th key={n} scope="col">{inline(cell)}</th> : <td key={n} />))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, n) => (
            <tr key={n}>
              {row.map((cell, at) => (
                <td key={at}>{inline(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function cellsOf(line: string): string[] {
  const [, inner = ""] = ROW.exec(line) ?? [];
  return inner.split(CELL_ENDS).map((cell) => cell.trim());
}

function inline(text: string): ComponentChildren[] {
  const shown: ComponentChildren[] = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, bold, plain] = found;
    shown.push(text.slice(end, found.index), code ? <code>{code}</code> : bold ? <strong>{bold}</strong> : plain);
    end = found.index + whole.length;
  }
  return [...shown, text.slice(end)];
}
