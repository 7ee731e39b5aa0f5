/** The button that loads more of a long list. */
import type { LongList } from "../api/pages";
import { t } from "../i18n";

export function MoreButton({ list }: { list: Pick<LongList<unknown>, "hasMore" | "more"> }) {
  if (!list.hasMore) return null;
  return (
    <button type="button" class="secondary" onClick={list.more}>
      {t("list.more")}
    </button>
  );
}
