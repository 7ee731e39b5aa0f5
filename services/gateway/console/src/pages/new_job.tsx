/** A new job: the form of the kind that the address names, of a training where it names none. */
import { place } from "../routing";
import { NewBuildPage, NewEvaluationPage } from "./new_order";
import { NewTrainingPage } from "./new_training";

export function NewJobPage() {
  const kind = place.value.query.get("kind");
  if (kind === "evaluate") return <NewEvaluationPage />;
  return kind === "optimize" ? <NewBuildPage /> : <NewTrainingPage />;
}
