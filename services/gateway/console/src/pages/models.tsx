/** Aliases and what each points to, and every version. */
import { useLoaded } from "../api/loaded";
import { isVersion, type Alias, type ModelList, type Page, type Version } from "../api/types";
import { ago, bytes } from "../format";
import { t } from "../i18n";
import { AliasFallback, AliasShadow, AliasTargets } from "../parts/alias_parts";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";

const ALIAS_COLUMNS = ["model.alias", "model.versions", "model.shadow", "model.fallback", "model.moved"] as const;
const VERSION_COLUMNS = ["model.version", "model.name", "model.form", "model.size", "model.created"] as const;

export function ModelsPage() {
  const aliases = useLoaded<Page<Alias>>("/v1/aliases");
  const models = useLoaded<ModelList>("/v1/models");
  return (
    <>
      <h1>{t("nav.models")}</h1>
      <section aria-labelledby="aliases">
        <h2 id="aliases">{t("model.aliases")}</h2>
        <p>
          <a role="button" class="small" href={addressOf("aliases")}>
            {t("alias.new")}
          </a>
        </p>
        <Shown of={aliases}>{(page) => <AliasTable aliases={page.data} />}</Shown>
      </section>
      <section aria-labelledby="versions">
        <h2 id="versions">{t("model.versions")}</h2>
        <p>
          {t("model.import")} <code>mill models import hf://ORG/NAME</code>
        </p>
        <Shown of={models}>{(list) => <VersionTable versions={list.data.filter(isVersion)} />}</Shown>
      </section>
    </>
  );
}

function AliasTable({ aliases }: { aliases: Alias[] }) {
  if (aliases.length === 0) return <Empty words={t("home.nothing_served")} command="mill models alias NAME VERSION" />;
  return (
    <Table labelledBy="aliases" head={ALIAS_COLUMNS.map((key) => t(key))}>
      {aliases.map((alias) => (
        <tr key={alias.id}>
          <th scope="row">
            <a href={addressOf("aliases", alias.id)}>{alias.id}</a>
          </th>
          <td>
            <AliasTargets alias={alias} />
          </td>
          <td>
            <AliasShadow alias={alias} />
          </td>
          <td>
            <AliasFallback alias={alias} />
          </td>
          <td>
            {ago(alias.moved_at)} {alias.moved_by}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function VersionTable({ versions }: { versions: Version[] }) {
  if (versions.length === 0) return <Empty words={t("model.none")} command="mill models import PATH" />;
  return (
    <Table labelledBy="versions" head={VERSION_COLUMNS.map((key) => t(key))}>
      {versions.map((version) => (
        <tr key={version.id}>
          <th scope="row">
            <VersionLink id={version.id} />
          </th>
          <td>{version.name}</td>
          <td>{version.form}</td>
          <td>{version.size_bytes ? bytes(version.size_bytes) : ""}</td>
          <td>{ago(version.created)}</td>
        </tr>
      ))}
    </Table>
  );
}
