/** What a version's artifact says of it: read once somebody opens it. */
import { useState } from "preact/hooks";
import { useLoaded } from "../api/loaded";
import { t } from "../i18n";
import { Markdown } from "../parts/markdown";
import { save } from "../parts/save";
import { Empty, Shown } from "../parts/states";

/** What Hugging Face reads, before the card. */
const HEAD = /^---\r?\n.*?\n---\r?\n/s;

export function ModelCard({ id }: { id: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("model.card")}</summary>
      {isOpen && <Card id={id} />}
    </details>
  );
}

function Card({ id }: { id: string }) {
  const found = useLoaded<{ card: string | null }>(`/v1/models/${encodeURIComponent(id)}/card`);
  return <Shown of={found}>{({ card }) => (card === null ? <Empty words={t("model.no_card")} /> : <Text id={id} card={card} />)}</Shown>;
}

function Text({ id, card }: { id: string; card: string }) {
  return (
    <>
      <div class="actions">
        <button type="button" class="secondary outline small" onClick={() => save(`${id}.README.md`, new Blob([card]))}>
          {t("model.card_file")}
        </button>
      </div>
      <Markdown text={card.replace(HEAD, "")} />
    </>
  );
}
