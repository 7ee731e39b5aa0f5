/** What a form orders, as curl, Python and recipe: the same request, to be kept or sent elsewhere. */
import { useEffect, useState } from "preact/hooks";
import type { JsonObject } from "../api/body_values";
import { asRecipe, recipeDataOf, type RecipeData } from "../api/recipes";
import { asCurl, asPython } from "../api/request_texts";
import { t } from "../i18n";
import { CopiedText } from "../parts/copied_text";
import { Refusal } from "../parts/states";

export function TrainingTexts({ order }: { order: JsonObject }) {
  const [isRecipeOpen, setRecipeOpen] = useState(false);
  // What is still to be chosen has a place in the request.
  const whole = { model: "MODEL", training_file: "DATASET", ...order };
  return (
    <section aria-labelledby="request">
      <h2 id="request">{t("train.request")}</h2>
      <details open>
        <summary>curl</summary>
        <CopiedText name="curl" text={asCurl(whole)} />
      </details>
      <details>
        <summary>Python</summary>
        <CopiedText name="Python" text={asPython(whole)} />
      </details>
      <details onToggle={(event) => setRecipeOpen(event.currentTarget.open)}>
        <summary>{t("train.recipe")}</summary>
        {isRecipeOpen && <RecipeText order={whole} datasetId={String(order.training_file ?? "")} />}
      </details>
    </section>
  );
}

interface Found {
  datasetId: string;
  data: RecipeData | null;
  error: unknown;
}

/** A recipe begins at the files, so it needs what the dataset was made by: asked for when somebody wants it. */
function RecipeText({ order, datasetId }: { order: JsonObject; datasetId: string }) {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    if (datasetId)
      recipeDataOf(datasetId, stop.signal).then(
        (data) => setFound({ datasetId, data, error: null }),
        (error: unknown) => stop.signal.aborted || setFound({ datasetId, data: null, error }),
      );
    return () => stop.abort();
  }, [datasetId]);

  if (!datasetId) return <p>{t("train.recipe_needs")}</p>;
  if (found?.datasetId !== datasetId) return <p aria-busy="true">{t("state.loading")}</p>;
  if (found.data === null) return <Refusal error={found.error} />;
  return <CopiedText name={t("train.recipe")} text={asRecipe(order, found.data)} />;
}
