/** A form that points an alias at versions: what it means before and after is shown, and asked, first. */
import { useId, useState } from "preact/hooks";
import { NO_ALIAS, NO_TARGET, aliasBody, aliasPath, setAlias, writtenAlias, type WrittenAlias } from "../api/aliases";
import { useLoaded } from "../api/loaded";
import { isVersion, type Alias, type ModelList, type Version } from "../api/types";
import { t } from "../i18n";
import { FallbackFields, ShadowFields, StoreField, TargetFields } from "../parts/alias_fields";
import { AliasFacts } from "../parts/alias_parts";
import { Question } from "../parts/confirm";
import { SameRequest } from "../parts/same_request";
import { Empty, Refusal, Shown } from "../parts/states";
import { place } from "../routing";

/** What the bus takes as a name. */
const NAME = "[a-z0-9][a-z0-9\\-]{0,62}";

interface AliasFormProps {
  /** Empty for one that is typed here. */
  name?: string;
  aliases: readonly Alias[];
  /** Called when a change begins. */
  began?: () => void;
  done: (name: string) => void;
}

export function AliasForm(props: AliasFormProps) {
  const models = useLoaded<ModelList>("/v1/models");
  return <Shown of={models}>{(list) => <Fields {...props} versions={list.data.filter(isVersion)} />}</Shown>;
}

function Fields({ name: given = "", aliases, began, done, versions }: AliasFormProps & { versions: readonly Version[] }) {
  const [name, setName] = useState(given);
  const now = aliases.find((each) => each.id === name);
  const [written, setWritten] = useState<WrittenAlias>(() => (now ? writtenAlias(now) : newAlias()));
  const [isAsked, setAsked] = useState(false);
  const moving = useMove(name, written, done);
  const change = (part: Partial<WrittenAlias>) => setWritten((old) => ({ ...old, ...part }));
  if (versions.length === 0) return <Empty words={t("model.none")} command="mill models import PATH" />;
  return (
    <>
      <form onSubmit={(event) => (event.preventDefault(), setAsked(true))}>
        {!given && <NameField name={name} change={setName} />}
        <TargetFields written={written} versions={versions} change={change} />
        <ShadowFields written={written} versions={versions} change={change} />
        <FallbackFields written={written} versions={versions} change={change} />
        <StoreField isStored={written.isStored} change={(isStored) => change({ isStored })} />
        {moving.error !== null && <Refusal error={moving.error} />}
        <div class="actions">
          <button type="submit" aria-busy={moving.isMoving} disabled={moving.isMoving}>
            {t("alias.set")}
          </button>
          <span role="status">{moving.isMoving && t("alias.moving")}</span>
        </div>
        <SameRequest method="PUT" path={aliasPath(name || "NAME")} call="aliases.set" first={name || "NAME"} body={{ ...aliasBody(written) }} />
      </form>
      <Question
        label={t("alias.set")}
        question={t("alias.set_asked", { name })}
        isAsked={isAsked}
        close={() => setAsked(false)}
        act={() => (began?.(), moving.move())}
      >
        <strong>{t("alias.before")}</strong>
        {now ? <AliasFacts alias={now} /> : <p>{t("alias.nothing")}</p>}
        <strong>{t("alias.after")}</strong>
        <AliasFacts alias={{ version_id: "", ...aliasBody(written) }} />
      </Question>
    </>
  );
}

/** Of the version that a link names, if one does. */
function newAlias(): WrittenAlias {
  return { ...NO_ALIAS, targets: [{ ...NO_TARGET, versionId: place.value.query.get("version") ?? "" }] };
}

function NameField({ name, change }: { name: string; change: (name: string) => void }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{t("alias.name")}</label>
      <input
        id={id}
        required
        maxLength={63}
        pattern={NAME}
        autocomplete="off"
        spellcheck={false}
        aria-describedby={`${id}-help`}
        value={name}
        onInput={(event) => change(event.currentTarget.value)}
      />
      <small id={`${id}-help`}>{t("alias.name_help")}</small>
    </div>
  );
}

interface Move {
  isMoving: boolean;
  error: unknown;
  move: () => void;
}

function useMove(name: string, written: WrittenAlias, done: (name: string) => void): Move {
  const [isMoving, setMoving] = useState(false);
  const [error, setError] = useState<unknown>(null);

  async function move() {
    setError(null);
    setMoving(true);
    try {
      await setAlias(name, aliasBody(written));
      done(name);
    } catch (refused) {
      setError(refused);
    }
    setMoving(false);
  }

  return { isMoving, error, move: () => void move() };
}
