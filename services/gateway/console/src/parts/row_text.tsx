/** A row of a dataset as people read it: what each message says, or the whole of it where it has none. */
import type { DatasetRow } from "../api/types";
import { named } from "../i18n";
import { LongText } from "./long_text";

export function RowText({ row }: { row: DatasetRow }) {
  if (!row.messages) return <LongText text={JSON.stringify(row)} />;
  return (
    <>
      {row.messages.map(({ role, content }, n) => (
        <LongText key={n} text={`${named("role", role)}: ${typeof content === "string" ? content : JSON.stringify(content)}`} />
      ))}
    </>
  );
}
