/** Aliases and what each points to, and every version. */
import { useLoaded } from "../api/loaded";
import { isVersion, type Alias, type ModelList, type Page, type Version } from "../api/types";
import { ago, bytes, percent } from "../format";
import { t } from "../i18n";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

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
        <Shown of={aliases}>{(page) => <AliasTable aliases={page.data} />}</Shown>
      </section>
      <section aria-labelledby="versions">
        <h2 id="versions">{t("model.versions")}</h2>
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
          <th scope="row">{alias.id}</th>
          <td>
            <Targets alias={alias} />
          </td>
          <td>
            {alias.shadow && (
              <>
                <VersionLink id={alias.shadow.version_id} /> {percent(alias.shadow.share)}
              </>
            )}
          </td>
          <td>
            {alias.fallback?.map((id) => (
              <div key={id}>
                <VersionLink id={id} />
              </div>
            ))}
          </td>
          <td>
            {ago(alias.moved_at)} {alias.moved_by}
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** The version that is meant, or several with their shares of the requests. */
function Targets({ alias }: { alias: Alias }) {
  const variants = alias.variants ?? [];
  if (variants.length === 0) return <VersionLink id={alias.version_id} />;
  const sum = variants.reduce((total, each) => total + each.weight, 0);
  return (
    <>
      {variants.map((each) => (
        <div key={each.name}>
          {each.name} <VersionLink id={each.version_id} /> {percent(each.weight / sum)}
        </div>
      ))}
    </>
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
