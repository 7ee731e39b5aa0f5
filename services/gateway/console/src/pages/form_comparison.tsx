/** Forms of a model, or candidates of a search: a Pareto chart, and a table with the same. */
import { useState } from "preact/hooks";
import { placed, type FormComparison, type Measure, type PlacedForm } from "../api/form_candidates";
import { useLoaded } from "../api/loaded";
import type { Job } from "../api/types";
import { whole } from "../format";
import { named, t } from "../i18n";
import { VersionLink } from "../parts/model_parts";
import { estimateText, measureText, ParetoChart, placeText } from "../parts/pareto_chart";
import { Shown } from "../parts/states";
import { Table } from "../parts/table";

/** One form alone is compared with nothing. */
const LEAST_FORMS = 2;

export function ModelForms({ id }: { id: string }) {
  const found = useLoaded<FormComparison>(`/v1/models/${encodeURIComponent(id)}/forms`);
  return (
    <Shown of={found}>
      {(of) => of.data.length >= LEAST_FORMS && <Comparison of={of} title={t("pareto.forms")} />}
    </Shown>
  );
}

/** Of a search that has ended with a verdict; other jobs have none. */
export function SearchCandidates({ job }: { job: Job }) {
  return job.kind === "optimize" && job.result?.summary.verdict ? <Candidates id={job.id} /> : null;
}

function Candidates({ id }: { id: string }) {
  const found = useLoaded<FormComparison>(`/v1/optimizations/${encodeURIComponent(id)}/candidates`);
  return <Shown of={found}>{(of) => <Comparison of={of} title={t("pareto.candidates")} />}</Shown>;
}

function Comparison({ of, title }: { of: FormComparison; title: string }) {
  const [chosenCost, setCost] = useState("");
  const [chosenLoss, setLoss] = useState("");
  const cost = of.costs.find(({ name }) => name === chosenCost) ?? of.costs[0];
  const loss = of.losses.find(({ name }) => name === chosenLoss) ?? of.losses[0];
  const forms = placed(of.data, cost?.name ?? "", loss?.name ?? "");
  return (
    <section aria-labelledby="forms">
      <h2 id="forms">{title}</h2>
      {of.verdict && (
        <p>
          <strong>{named("pareto.verdict", of.verdict)}</strong> {of.reason}
        </p>
      )}
      {cost && loss ? (
        <>
          <div class="actions">
            <Choice label={t("pareto.cost")} among={of.costs} chosen={cost} choose={setCost} />
            <Choice label={t("pareto.loss")} among={of.losses} chosen={loss} choose={setLoss} />
          </div>
          <ParetoChart title={t("pareto.chart", { title })} of={of} forms={forms} cost={cost} loss={loss} />
          <p>
            <small>{t("pareto.legend")}</small>
          </p>
        </>
      ) : (
        <p>{t("pareto.no_quality")}</p>
      )}
      <FormTable forms={forms} cost={cost} loss={loss} />
      <Conditions of={of} />
    </section>
  );
}

interface ChoiceProps {
  label: string;
  among: readonly Measure[];
  chosen: Measure;
  choose: (name: string) => void;
}

function Choice({ label, among, chosen, choose }: ChoiceProps) {
  return (
    <label class="inline">
      {label}
      <select class="small" value={chosen.name} onChange={(event) => choose(event.currentTarget.value)}>
        {among.map((each) => (
          <option key={each.name} value={each.name}>
            {measureText(each)}
          </option>
        ))}
      </select>
    </label>
  );
}

interface FormTableProps {
  forms: readonly PlacedForm[];
  cost: Measure | undefined;
  loss: Measure | undefined;
}

function FormTable({ forms, cost, loss }: FormTableProps) {
  const measures = [cost, loss].flatMap((each) => (each ? [measureText(each)] : []));
  return (
    <Table labelledBy="forms" head={["#", t("model.form"), ...measures, t("pareto.place"), t("model.version")]}>
      {forms.map((each) => (
        <tr key={each.number} class={each.isOnFrontier || each.of.is_chosen ? "" : "dimmed"}>
          <td>{each.number}</td>
          <th scope="row">{each.of.form}</th>
          {cost && <td>{each.cost ? estimateText(each.cost, cost) : "—"}</td>}
          {loss && <td>{each.loss ? estimateText(each.loss, loss) : "—"}</td>}
          <td>{placeText(each)}</td>
          <td>{each.of.version_id && <VersionLink id={each.of.version_id} />}</td>
        </tr>
      ))}
    </Table>
  );
}

/** Under which load and on whose rows it was measured. */
function Conditions({ of: { load, dataset_id } }: { of: FormComparison }) {
  const { prompt_tokens, output_tokens, in_flight } = load;
  const values = { prompt: whole(prompt_tokens ?? 0), output: whole(output_tokens ?? 0), n: whole(in_flight ?? 0) };
  return (
    <p>
      <small>
        {in_flight && t("pareto.load", values)} {dataset_id && t("pareto.scored", { dataset: dataset_id })}
      </small>
    </p>
  );
}
