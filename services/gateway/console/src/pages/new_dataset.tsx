/** A new dataset: a file that is sent, how its rows are to be read, and the order to make it. */
import { useEffect, useState } from "preact/hooks";
import { ask } from "../api/client";
import { NO_MAPPING, bodyOf, mappingOf, type Mapping } from "../api/mapping";
import type { DatasetPreview } from "../api/types";
import { useOrderKey } from "../api/order_key";
import { useUpload, type Upload } from "../api/uploads";
import { bytes, percent } from "../format";
import { t } from "../i18n";
import { MappingForm } from "../parts/mapping_form";
import { RowsPreview } from "../parts/rows_preview";
import { SameRequest } from "../parts/same_request";
import { Refusal } from "../parts/states";
import { addressOf } from "../routing";

const ROWS = 10;
const DATASETS = "/v1/datasets";

export function NewDatasetPage() {
  const upload = useUpload();
  return (
    <>
      <h1>{t("new_data.title")}</h1>
      <FileStep upload={upload} />
      {upload.status === "done" && <MappingStep key={upload.fileId} fileId={upload.fileId} fileName={upload.file?.name ?? ""} />}
    </>
  );
}

function FileStep({ upload }: { upload: Upload }) {
  const { file, status } = upload;
  const isSending = status === "sending" || status === "waiting";

  function choose(event: Event & { currentTarget: HTMLInputElement }) {
    const chosen = event.currentTarget.files?.[0];
    if (chosen) upload.start(chosen);
    // The same file may be chosen again, after its upload was discarded.
    event.currentTarget.value = "";
  }

  return (
    <section aria-labelledby="file">
      <h2 id="file">{t("new_data.file")}</h2>
      <label>
        {t("new_data.choose")}
        <input type="file" onChange={choose} disabled={isSending} />
      </label>
      {file && <UploadProgress upload={upload} file={file} />}
      <div class="actions">
        {isSending && (
          <button type="button" class="secondary outline small" onClick={upload.stop}>
            {t("new_data.stop")}
          </button>
        )}
        {status === "stopped" && file && (
          <button type="button" class="small" onClick={() => upload.start(file)}>
            {t("new_data.continue")}
          </button>
        )}
        {status === "stopped" && (
          <button type="button" class="secondary outline small" onClick={upload.discard}>
            {t("new_data.discard")}
          </button>
        )}
      </div>
      {upload.error !== null && <Refusal error={upload.error} />}
    </section>
  );
}

function UploadProgress({ upload, file }: { upload: Upload; file: File }) {
  const share = file.size ? upload.sentBytes / file.size : 1;
  return (
    <div role="status">
      <progress aria-label={t("new_data.sending", { name: file.name })} max={1} value={share} />
      <small>
        {t(`new_data.${upload.status === "none" ? "stopped" : upload.status}`, { name: file.name })} {bytes(upload.sentBytes)} /{" "}
        {bytes(file.size)} · {percent(share)}
      </small>
    </div>
  );
}

interface Shown {
  preview: DatasetPreview | null;
  error: unknown;
}

function MappingStep({ fileId, fileName }: { fileId: string; fileName: string }) {
  const [mapping, setMapping] = useState<Mapping>(NO_MAPPING);
  const [name, setName] = useState(fileName.replace(/\..*$/, ""));
  const [{ preview, error }, setShown] = useState<Shown>({ preview: null, error: null });
  const keyOf = useOrderKey();
  const order = { file_id: fileId, name, mapping: { ...bodyOf(mapping) } };

  /** Rows by a mapping, or by the one that the API proposes. */
  async function show(wanted: Partial<Mapping> | null) {
    try {
      const body = { file_id: fileId, mapping: wanted, rows: ROWS };
      const found = await ask<DatasetPreview>("/v1/datasets/preview", { method: "POST", body });
      setShown({ preview: found, error: null });
      if (wanted === null) setMapping(mappingOf(found.mapping));
    } catch (refused) {
      setShown((old) => ({ ...old, error: refused }));
    }
  }

  async function create() {
    try {
      const headers = { "idempotency-key": keyOf(JSON.stringify(order)) };
      const made = await ask<{ id: string }>(DATASETS, { method: "POST", body: order, headers });
      location.hash = addressOf("datasets", made.id);
    } catch (refused) {
      setShown((old) => ({ ...old, error: refused }));
    }
  }

  useEffect(() => void show(null), []);

  if (preview === null && error === null) return <p aria-busy="true">{t("state.loading")}</p>;
  return (
    <>
      <MappingForm columns={preview?.columns ?? []} mapping={mapping} change={setMapping} show={() => void show(bodyOf(mapping))} />
      {error !== null && <Refusal error={error} />}
      {preview && <RowsPreview preview={preview} />}
      {preview && (
        <form onSubmit={(event) => (event.preventDefault(), void create())}>
          <label>
            {t("data.name")}
            <input value={name} maxLength={128} onInput={(event) => setName(event.currentTarget.value)} />
          </label>
          <button type="submit">{t("new_data.create")}</button>
          <SameRequest method="POST" path={DATASETS} call="datasets.create" body={order} />
        </form>
      )}
    </>
  );
}
