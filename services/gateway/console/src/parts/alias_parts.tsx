/** Parts that show an alias alike on every page: versions that answer, shadow and fallback. */
import type { Alias } from "../api/types";
import { percent, when } from "../format";
import { t } from "../i18n";
import { Facts } from "./facts";
import { VersionLink } from "./model_parts";

type AliasMeaning = Pick<Alias, "version_id" | "variants" | "shadow" | "fallback" | "store"> & Partial<Pick<Alias, "moved_at" | "moved_by">>;

/** The version that is meant, or several with their shares of the requests. */
export function AliasTargets({ alias }: { alias: AliasMeaning }) {
  const variants = alias.variants ?? [];
  if (variants.length === 0) return <VersionLink id={alias.version_id} />;
  const sum = variants.reduce((total, each) => total + each.weight, 0);
  return (
    <>
      {variants.map((each) => (
        <div key={each.name}>
          {each.name !== each.version_id && each.name} <VersionLink id={each.version_id} /> {percent(sum && each.weight / sum)}
        </div>
      ))}
    </>
  );
}

export function AliasShadow({ alias }: { alias: AliasMeaning }) {
  if (!alias.shadow) return null;
  return (
    <>
      <VersionLink id={alias.shadow.version_id} /> {percent(alias.shadow.share)}
    </>
  );
}

export function AliasFallback({ alias }: { alias: AliasMeaning }) {
  return (
    <>
      {alias.fallback?.map((id) => (
        <div key={id}>
          <VersionLink id={id} />
        </div>
      ))}
    </>
  );
}

/** All that it means, by name. */
export function AliasFacts({ alias }: { alias: AliasMeaning }) {
  const facts = [
    [t("model.versions"), <AliasTargets alias={alias} />],
    [t("model.shadow"), alias.shadow && <AliasShadow alias={alias} />],
    [t("model.fallback"), alias.fallback?.length ? <AliasFallback alias={alias} /> : null],
    [t("alias.store"), alias.store && t("alias.stored")],
    [t("model.moved"), alias.moved_at && `${when(alias.moved_at)} ${alias.moved_by ?? ""}`],
  ] as const;
  return <Facts facts={facts} />;
}
