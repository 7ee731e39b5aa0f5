/** Uploaded files, newest first; whoever deletes one erases its content. */
import { ask } from "../api/client";
import { mayOpen } from "../api/identity";
import { useLongList } from "../api/pages";
import type { StoredFile } from "../api/types";
import { ago, bytes } from "../format";
import { t } from "../i18n";
import { AskedButton } from "../parts/confirm";
import { MoreButton } from "../parts/more";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const COLUMNS = ["file.id", "file.name", "file.size", "file.purpose", "file.created", "file.end"] as const;

export function FilesSection() {
  return mayOpen(["files"]) ? <Files /> : null;
}

function Files() {
  const files = useLongList<StoredFile>("/v1/files");
  return (
    <section aria-labelledby="files">
      <h2 id="files">{t("data.files")}</h2>
      <Shown of={files}>{(all) => <FileTable files={all} changed={files.reload} />}</Shown>
      <MoreButton list={files} />
    </section>
  );
}

function FileTable({ files, changed }: { files: StoredFile[]; changed: () => void }) {
  if (files.length === 0) return <Empty words={t("file.none")} command="mill files upload FILE" />;
  return (
    <Table labelledBy="files" head={COLUMNS.map((key) => t(key))}>
      {files.map((file) => (
        <tr key={file.id}>
          <th scope="row">
            <code>{file.id}</code>
          </th>
          <td>{file.filename}</td>
          <td>{bytes(file.bytes)}</td>
          <td>{file.purpose}</td>
          <td>{ago(file.created_at)}</td>
          <td>
            <DeleteFile file={file} changed={changed} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function DeleteFile({ file, changed }: { file: StoredFile; changed: () => void }) {
  async function remove() {
    await ask(`/v1/files/${encodeURIComponent(file.id)}`, { method: "DELETE" });
    changed();
  }
  return <AskedButton label={t("file.delete")} question={t("file.delete_asked", { name: file.filename })} act={remove} />;
}
