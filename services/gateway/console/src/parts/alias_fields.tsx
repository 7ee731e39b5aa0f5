/** Fields of an alias: versions with weights, a shadow with its share, and fallbacks in order. */
import { useId } from "preact/hooks";
import { MOST_FALLBACKS, MOST_TARGETS, NO_TARGET, shareOf, type Target, type WrittenAlias } from "../api/aliases";
import type { Version } from "../api/types";
import { percent } from "../format";
import { t } from "../i18n";

const MOST_WEIGHT = 1_000_000;

interface FieldsProps {
  written: WrittenAlias;
  versions: readonly Version[];
  change: (part: Partial<WrittenAlias>) => void;
}

export function TargetFields({ written: { targets }, versions, change }: FieldsProps) {
  const edit = (place: number, part: Partial<Target>) =>
    change({ targets: targets.map((each, n) => (n === place ? { ...each, ...part } : each)) });
  return (
    <fieldset>
      <legend>{t("alias.targets")}</legend>
      {targets.map((target, n) => (
        <div key={n} class="fields">
          <VersionSelect
            label={t("alias.version_n", { n: n + 1 })}
            value={target.versionId}
            versions={versions}
            isRequired
            change={(versionId) => edit(n, { versionId, name: "" })}
          />
          {targets.length > 1 && (
            <>
              <WeightField place={n} targets={targets} change={(weight) => edit(n, { weight })} />
              <p>
                <button
                  type="button"
                  class="secondary outline small"
                  aria-label={t("alias.drop_n", { n: n + 1 })}
                  onClick={() => change({ targets: targets.filter((_, place) => place !== n) })}
                >
                  {t("alias.drop")}
                </button>
              </p>
            </>
          )}
        </div>
      ))}
      {targets.length < MOST_TARGETS && (
        <button type="button" class="secondary outline small" onClick={() => change({ targets: [...targets, NO_TARGET] })}>
          {t("alias.add")}
        </button>
      )}
    </fieldset>
  );
}

function WeightField({ place, targets, change }: { place: number; targets: readonly Target[]; change: (weight: string) => void }) {
  const id = useId();
  const target = targets[place] ?? NO_TARGET;
  const share = shareOf(target, targets);
  return (
    <div class="field">
      <label for={id}>{t("alias.weight_n", { n: place + 1 })}</label>
      <input
        id={id}
        type="number"
        required
        min={0}
        max={MOST_WEIGHT}
        step="any"
        value={target.weight}
        aria-describedby={`${id}-share`}
        onInput={(event) => change(event.currentTarget.value)}
      />
      <small id={`${id}-share`}>{share !== null && t("alias.share", { share: percent(share) })}</small>
    </div>
  );
}

export function ShadowFields({ written: { shadowId, shadowPercent }, versions, change }: FieldsProps) {
  const id = useId();
  return (
    <fieldset>
      <legend>{t("model.shadow")}</legend>
      <small id="alias-shadow-help">{t("alias.shadow_help")}</small>
      <div class="fields">
        <VersionSelect
          label={t("alias.shadow_version")}
          describedBy="alias-shadow-help"
          value={shadowId}
          versions={versions}
          change={(versionId) => change({ shadowId: versionId })}
        />
        {shadowId && (
          <div class="field">
            <label for={id}>{t("alias.shadow_percent")}</label>
            <input
              id={id}
              type="number"
              required
              min={0.0001}
              max={100}
              step="any"
              value={shadowPercent}
              onInput={(event) => change({ shadowPercent: event.currentTarget.value })}
            />
          </div>
        )}
      </div>
    </fieldset>
  );
}

export function StoreField({ isStored, change }: { isStored: boolean; change: (isStored: boolean) => void }) {
  const id = useId();
  return (
    <div class="field">
      <label>
        <input type="checkbox" checked={isStored} aria-describedby={`${id}-help`} onChange={(event) => change(event.currentTarget.checked)} />{" "}
        {t("alias.store")}
      </label>
      <small id={`${id}-help`}>{t("alias.store_help")}</small>
    </div>
  );
}

/** One more than there are, to be chosen; one that is emptied goes. */
export function FallbackFields({ written: { fallback }, versions, change }: FieldsProps) {
  const places = [...fallback, ""].slice(0, MOST_FALLBACKS);
  const put = (place: number, versionId: string) =>
    change({ fallback: places.map((each, n) => (n === place ? versionId : each)).filter(Boolean) });
  return (
    <fieldset>
      <legend>{t("model.fallback")}</legend>
      <small id="alias-fallback-help">{t("alias.fallback_help")}</small>
      <div class="fields">
        {places.map((versionId, n) => (
          <VersionSelect
            key={n}
            label={t("alias.fallback_n", { n: n + 1 })}
            describedBy="alias-fallback-help"
            value={versionId}
            versions={versions}
            change={(chosen) => put(n, chosen)}
          />
        ))}
      </div>
    </fieldset>
  );
}

interface VersionSelectProps {
  label: string;
  describedBy?: string;
  value: string;
  versions: readonly Version[];
  isRequired?: boolean;
  change: (versionId: string) => void;
}

function VersionSelect({ label, describedBy, value, versions, isRequired = false, change }: VersionSelectProps) {
  const id = useId();
  // What an alias names may have been retired since.
  const isListed = !value || versions.some((each) => each.id === value);
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        required={isRequired}
        value={value}
        {...(describedBy ? { "aria-describedby": describedBy } : {})}
        onChange={(event) => change(event.currentTarget.value)}
      >
        <option value="">{t(isRequired ? "field.choose" : "field.none")}</option>
        {!isListed && <option value={value}>{value}</option>}
        {versions.map((each) => (
          <option key={each.id} value={each.id}>
            {each.id} ({[each.name, each.form].filter(Boolean).join(", ")})
          </option>
        ))}
      </select>
    </div>
  );
}
