/** The first rows of a file as they would be in the dataset, or why one would not be in it. */
import type { DatasetPreview, PreviewedRow } from "../api/types";
import { whole } from "../format";
import { named, t } from "../i18n";
import { Table } from "./table";

export function RowsPreview({ preview }: { preview: DatasetPreview }) {
  const reading = Object.entries(preview.reading).map(([name, value]) => `${name}: ${value}`);
  return (
    <section aria-labelledby="preview">
      <h2 id="preview">{t("new_data.rows")}</h2>
      {reading.length > 0 && <p>{t("new_data.reading", { reading: reading.join(", ") })}</p>}
      <Table labelledBy="preview" head={[t("new_data.line"), t("new_data.row")]}>
        {preview.data.map((each) => (
          <tr key={each.line}>
            <th scope="row">{whole(each.line)}</th>
            <td>
              <Row of={each} />
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Row({ of }: { of: PreviewedRow }) {
  if (of.row === null) return <span class="status failed">{t("new_data.left_out", { reason: of.reason ?? "" })}</span>;
  const { messages } = of.row;
  if (!messages) return <p class="text">{JSON.stringify(of.row)}</p>;
  return (
    <>
      {messages.map(({ role, content }, n) => (
        <p key={n} class="text">
          <strong>{named("role", role)}:</strong> {typeof content === "string" ? content : JSON.stringify(content)}
        </p>
      ))}
    </>
  );
}
