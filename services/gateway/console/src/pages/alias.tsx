/** One alias: what it means now, a form that points it elsewhere after a question, and a way to remove it. */
import { useState } from "preact/hooks";
import { isOwnAlias, removeAlias } from "../api/aliases";
import { useLoaded } from "../api/loaded";
import type { Alias, Page } from "../api/types";
import { t } from "../i18n";
import { AliasFacts } from "../parts/alias_parts";
import { ConfirmedButton } from "../parts/confirm";
import { Refusal, Shown } from "../parts/states";
import { addressOf } from "../routing";
import { AliasForm } from "./alias_form";

const ALIASES = "/v1/aliases";

/** For a name that is still to be chosen. */
export function NewAliasPage() {
  const aliases = useLoaded<Page<Alias>>(ALIASES);
  return (
    <>
      <h1>{t("alias.new")}</h1>
      <p>{t("alias.about")}</p>
      <Shown of={aliases}>
        {(page) => <AliasForm aliases={page.data} done={(name) => (location.hash = addressOf("aliases", name))} />}
      </Shown>
    </>
  );
}

export function AliasPage({ id }: { id: string }) {
  const aliases = useLoaded<Page<Alias>>(ALIASES);
  return (
    <>
      <h1>
        {t("model.alias")} <code>{id}</code>
      </h1>
      <Shown of={aliases}>{(page) => <Found name={id} aliases={page.data} changed={aliases.reload} />}</Shown>
    </>
  );
}

interface FoundProps {
  name: string;
  aliases: readonly Alias[];
  changed: () => void;
}

function Found({ name, aliases, changed }: FoundProps) {
  const [isSet, setSet] = useState(false);
  const alias = aliases.find((each) => each.id === name);
  return (
    <>
      {alias ? <Meaning of={alias} /> : <p>{t("alias.missing")}</p>}
      <p role="status">{isSet && t("alias.is_set")}</p>
      <section aria-labelledby="set">
        <h2 id="set">{t("alias.change")}</h2>
        <AliasForm
          key={alias?.moved_at ?? 0}
          name={name}
          aliases={aliases}
          began={() => setSet(false)}
          done={() => (setSet(true), changed())}
        />
      </section>
    </>
  );
}

function Meaning({ of }: { of: Alias }) {
  return (
    <>
      <AliasFacts alias={of} />
      {isOwnAlias(of) ? <RemoveButton name={of.id} /> : <p>{t("alias.shared")}</p>}
    </>
  );
}

function RemoveButton({ name }: { name: string }) {
  const [error, setError] = useState<unknown>(null);

  async function remove() {
    setError(null);
    try {
      await removeAlias(name);
      location.hash = addressOf("models");
    } catch (refused) {
      setError(refused);
    }
  }

  return (
    <>
      <ConfirmedButton label={t("alias.remove")} question={t("alias.remove_asked", { name })} act={() => void remove()} />
      {error !== null && <Refusal error={error} />}
    </>
  );
}
