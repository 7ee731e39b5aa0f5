/** What is served: aliases with their versions, how fast they answer and how often they fail; a part of home. */
import type { ComponentChildren } from "preact";
import { useLoaded, type Loaded } from "../api/loaded";
import { isVersion, type AliasEntry, type ModelList, type Version } from "../api/types";
import { errorRate, firstTokenMs, sumsByVersion, tokenSpeed, type AnswerSums, type AnswerUsage } from "../api/usage";
import { duration, figure, share, shortTime, whole } from "../format";
import { t } from "../i18n";
import { VersionLink } from "../parts/model_parts";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 15;
const COLUMNS = [
  ...(["model.alias", "model.version", "model.name", "model.form", "model.state"] as const),
  ...(["home.first_token", "home.speed", "home.errors"] as const),
];
const FIGURES = 3;

export function Served({ usage }: { usage: Loaded<AnswerUsage> }) {
  const models = useLoaded<ModelList>("/v1/models", RELOAD_SECONDS);
  return (
    <section aria-labelledby="served">
      <h2 id="served">{t("home.served")}</h2>
      <Shown of={models}>{(list) => <ServedTable list={list} usage={usage} />}</Shown>
    </section>
  );
}

function ServedTable({ list, usage }: { list: ModelList; usage: Loaded<AnswerUsage> }) {
  const versions = new Map(list.data.filter(isVersion).map((each) => [each.id, each]));
  const aliases = list.data.filter((each): each is AliasEntry => !isVersion(each));
  const sums = usage.data && sumsByVersion(usage.data);
  if (aliases.length === 0) return <Empty words={t("home.nothing_served")} command="mill models alias NAME VERSION" />;
  return (
    <>
      <Table labelledBy="served" head={COLUMNS.map((key) => t(key))}>
        {aliases.map((alias) => (
          <ServedRow key={alias.id} alias={alias} version={versions.get(alias.version_id)}>
            {sums ? <Figures of={sums.get(alias.version_id)} /> : <td colSpan={FIGURES}>{t("cap.unknown")}</td>}
          </ServedRow>
        ))}
      </Table>
      <SaidOfFigures sums={sums} isRefused={Boolean(usage.error)} />
    </>
  );
}

interface ServedRowProps {
  alias: AliasEntry;
  version: Version | undefined;
  children: ComponentChildren;
}

function ServedRow({ alias, version, children }: ServedRowProps) {
  return (
    <tr>
      <th scope="row">{alias.id}</th>
      <td>
        <VersionLink id={alias.version_id} />
      </td>
      <td>{version?.name}</td>
      <td>{version?.form}</td>
      <td>{alias.loading ? loading(alias.loading) : t("model.ready")}</td>
      {children}
    </tr>
  );
}

function Figures({ of }: { of: AnswerSums | undefined }) {
  if (of === undefined) return <td colSpan={FIGURES}>{t("home.no_answers")}</td>;
  const [first, speed] = [firstTokenMs(of), tokenSpeed(of)];
  return (
    <>
      <td>{first === null ? t("cap.unknown") : shortTime(first)}</td>
      <td>{speed === null ? t("cap.unknown") : figure(speed)}</td>
      <td>{t("home.errors_of", { share: share(errorRate(of)), requests: whole(of.num_model_requests) })}</td>
    </>
  );
}

/** Where the figures come from, why there are none, and failures that are no version's. */
function SaidOfFigures({ sums, isRefused }: { sums: Map<string | null, AnswerSums> | null; isRefused: boolean }) {
  if (sums === null) return isRefused ? <p>{t("home.figures_away")}</p> : null;
  const unanswered = sums.get(null)?.num_failed_requests ?? 0;
  return (
    <>
      {unanswered > 0 && <p class="refusal">{t("home.unanswered", { requests: whole(unanswered) })}</p>}
      <p>
        <small>{t("home.figures")}</small>
      </p>
    </>
  );
}

function loading({ remaining_seconds }: NonNullable<AliasEntry["loading"]>): string {
  return remaining_seconds === null ? t("model.loading") : t("model.loading_left", { time: duration(remaining_seconds) });
}
