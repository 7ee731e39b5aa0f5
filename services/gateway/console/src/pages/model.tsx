/** One model version: where it comes from, what came of it, who is served by it, and its measurements. */
import type { ComponentChildren } from "preact";
import { useLoaded } from "../api/loaded";
import { lineageOf } from "../api/lineage";
import { TRAINABLE_FORMS } from "../api/trainings";
import { isVersion, type Alias, type ModelList, type Page, type Version } from "../api/types";
import { bytes, figure, when, whole } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { LineagePicture } from "../parts/lineage_picture";
import { VersionLink } from "../parts/model_parts";
import { JobLink } from "../parts/job_parts";
import { addressOf } from "../routing";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";
import { ModelForms } from "./form_comparison";
import { DeleteVersion, ModelExport } from "./model_actions";
import { ModelCard } from "./model_card";

/** What is ordered for a version beside trainings. */
const NEW_KINDS = ["evaluate", "optimize"] as const;

export function ModelPage({ id }: { id: string }) {
  const models = useLoaded<ModelList>("/v1/models");
  const aliases = useLoaded<Page<Alias>>("/v1/aliases");
  return (
    <>
      <h1>
        <code>{id}</code>
      </h1>
      <Shown of={models}>{(list) => <Found list={list} id={id} aliases={aliases.data?.data ?? []} />}</Shown>
    </>
  );
}

interface FoundProps {
  list: ModelList;
  id: string;
  /** Of the tenant. */
  aliases: readonly Alias[];
}

function Found({ list, id, aliases }: FoundProps) {
  const versions = list.data.filter(isVersion);
  const version = versions.find((each) => each.id === id);
  if (version === undefined) return <p>{t("model.missing")}</p>;
  const own = list.data.filter((each) => !isVersion(each) && each.version_id === id);
  const graph = lineageOf(version, versions, aliases);
  return (
    <>
      <VersionFacts version={version} />
      <p>
        {TRAINABLE_FORMS.includes(version.form) && (
          <a role="button" class="small" href={addressOf("jobs", "new", { model: id })}>
            {t("model.train")}
          </a>
        )}{" "}
        {NEW_KINDS.map((kind) => (
          <span key={kind}>
            <a role="button" class="secondary outline small" href={addressOf("jobs", "new", { kind, model: id })}>
              {t(`order.${kind}`)}
            </a>{" "}
          </span>
        ))}
        <a role="button" class="secondary outline small" href={addressOf("aliases", "", { version: id })}>
          {t("alias.point")}
        </a>
      </p>
      <Lineage version={version} versions={versions} aliases={own.map((alias) => alias.id)}>
        {graph.nodes.length > 1 && <LineagePicture graph={graph} id={id} />}
      </Lineage>
      <ModelForms id={id} />
      <Measurements version={version} />
      <ModelCard id={id} />
      <ModelExport id={id} />
      <DeleteVersion version={version} />
    </>
  );
}

function VersionFacts({ version }: { version: Version }) {
  const facts = [
    [t("model.name"), version.name],
    [t("model.form"), version.form],
    [t("model.size"), version.size_bytes ? bytes(version.size_bytes) : ""],
    [t("model.context"), version.context_tokens ? whole(version.context_tokens) : ""],
    [t("model.created"), when(version.created)],
  ] as const;
  return <Facts facts={facts} />;
}

interface LineageProps {
  version: Version;
  versions: Version[];
  aliases: string[];
  children: ComponentChildren;
}

/** From the first ancestor to this version, then what was made of it and the aliases that point to it. */
function Lineage({ version, versions, aliases, children: picture }: LineageProps) {
  const children = versions.filter((each) => each.parent_version_id === version.id);
  return (
    <section aria-labelledby="lineage">
      <h2 id="lineage">{t("model.lineage")}</h2>
      {picture}
      <ol class="lineage">
        {ancestorsOf(version, versions).map((each) => (
          <Step key={each.id} version={each} />
        ))}
        <Step version={version} isThis />
      </ol>
      <Related title={t("model.children")}>
        {children.map((each) => (
          <li key={each.id}>
            <VersionLink id={each.id} /> {each.name} · {each.form}
          </li>
        ))}
      </Related>
      <Related title={t("model.aliases")}>
        {aliases.map((alias) => (
          <li key={alias}>{alias}</li>
        ))}
      </Related>
    </section>
  );
}

function Step({ version, isThis = false }: { version: Version; isThis?: boolean }) {
  return (
    <li {...(isThis ? { "aria-current": "true" as const } : {})}>
      {version.dataset_id && (
        <div>
          {t("model.dataset")}{" "}
          <a href={addressOf("datasets", version.dataset_id)}>
            <code>{version.dataset_id}</code>
          </a>
        </div>
      )}
      {version.job_id && (
        <div>
          {t("model.job")} <JobLink job={{ id: version.job_id }} />
        </div>
      )}
      {isThis ? <strong>{version.id}</strong> : <VersionLink id={version.id} />} {version.name} · {version.form}
    </li>
  );
}

function Related({ title, children }: { title: string; children: ComponentChildren[] }) {
  if (children.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>{children}</ul>
    </>
  );
}

/** The first one first. A parent that was retired ends the line. */
function ancestorsOf(version: Version, versions: Version[]): Version[] {
  const line: Version[] = [];
  let parent = versions.find((each) => each.id === version.parent_version_id);
  while (parent !== undefined && parent.id !== version.id && !line.includes(parent)) {
    line.unshift(parent);
    const { parent_version_id } = parent;
    parent = versions.find((each) => each.id === parent_version_id);
  }
  return line;
}

function Measurements({ version }: { version: Version }) {
  const metrics = Object.entries(version.metrics);
  if (metrics.length === 0) return null;
  return (
    <section aria-labelledby="measurements">
      <h2 id="measurements">{t("model.measurements")}</h2>
      <Table labelledBy="measurements" head={[t("model.measure"), t("model.value")]}>
        {metrics.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{figure(value)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
