/** Whom the credential names, what it grants, and which pages that opens. */
import { identity, mayOpen, type Identity } from "../api/identity";
import { when } from "../format";
import { t } from "../i18n";
import { Facts } from "../parts/facts";
import { Shown, oneOf } from "../parts/states";
import { Table } from "../parts/table";
import { addressOf } from "../routing";
import { PAGES } from ".";

export function AccessPage() {
  return (
    <>
      <h1>{t("access.title")}</h1>
      <Shown of={identity.value}>{(found) => <Facts facts={factsOf(found)} />}</Shown>
      <section aria-labelledby="pages">
        <h2 id="pages">{t("access.pages")}</h2>
        <Table labelledBy="pages" head={[t("access.page"), t("access.yours")]}>
          {PAGES.map(({ name, title, scopes }) => (
            <tr key={name}>
              <th scope="row">{mayOpen(scopes) ? <a href={addressOf(name)}>{t(title)}</a> : t(title)}</th>
              <td>{mayOpen(scopes) ? t("access.open") : t("access.missing", { scope: oneOf(scopes) })}</td>
            </tr>
          ))}
        </Table>
      </section>
    </>
  );
}

function factsOf(of: Identity) {
  return [
    [t("access.tenant"), of.tenant],
    [t("access.subject"), of.subject],
    [t("access.key"), of.key_id ?? t("access.token")],
    [t("access.scopes"), of.scopes.join(", ") || t("access.none")],
    [t("access.models"), of.models.join(", ") || t("key.every_model")],
    [t("access.expires"), of.expires_at === null ? t("key.never") : when(of.expires_at)],
  ] as const;
}
