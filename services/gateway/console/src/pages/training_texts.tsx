/** What a form orders, as curl, Python and recipe: the same request, to be kept or sent elsewhere. */
import { useState } from "preact/hooks";
import type { JsonObject } from "../api/body_values";
import { useResult } from "../api/loaded";
import { asRecipe, recipeDataOf } from "../api/recipes";
import { asCurl, asPython } from "../api/request_texts";
import { t } from "../i18n";
import { CopiedText } from "../parts/copied_text";
import { Shown } from "../parts/states";

export function TrainingTexts({ order }: { order: JsonObject }) {
  const [isRecipeOpen, setRecipeOpen] = useState(false);
  const datasetId = String(order.training_file ?? "");
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
        {isRecipeOpen && (datasetId ? <RecipeText order={whole} datasetId={datasetId} /> : <p>{t("train.recipe_needs")}</p>)}
      </details>
    </section>
  );
}

/** A recipe begins at the files, so it needs what the dataset was made by: asked for when somebody wants it. */
function RecipeText({ order, datasetId }: { order: JsonObject; datasetId: string }) {
  const data = useResult(datasetId, (stop) => recipeDataOf(datasetId, stop));
  return <Shown of={data}>{(found) => <CopiedText name={t("train.recipe")} text={asRecipe(order, found)} />}</Shown>;
}
