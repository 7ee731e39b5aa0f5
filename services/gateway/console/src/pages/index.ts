/** The pages by the first part of their address; a new page is a row here and a file beside this one. */
import type { ComponentType } from "preact";
import { OPERATOR } from "../api/identity";
import type { MessageKey } from "../i18n";
import { AccessPage } from "./access";
import { AliasPage, NewAliasPage } from "./alias";
import { AuditPage } from "./audit";
import { BudgetPage } from "./budget";
import { ComparisonPage } from "./comparison";
import { DatasetPage } from "./dataset";
import { DatasetComparisonPage } from "./dataset_comparison";
import { DatasetsPage } from "./datasets";
import { ExperimentPage } from "./experiment";
import { ExperimentsPage } from "./experiments";
import { HomePage } from "./home";
import { JobPage } from "./job";
import { JobsPage } from "./jobs";
import { KeyPage } from "./key";
import { KeysPage } from "./keys";
import { LogsPage } from "./logs";
import { ModelPage } from "./model";
import { ModelsPage } from "./models";
import { NewDatasetPage } from "./new_dataset";
import { NewJobPage } from "./new_job";
import { NewKeyPage } from "./new_key";
import { OperationsPage } from "./operations";
import { PlaygroundPage } from "./playground";
import { PlaygroundComparisonPage } from "./playground_comparison";
import { PoliciesPage, PolicyPage } from "./policies";
import { TenantPage } from "./tenant";
import { TenantsPage } from "./tenants";
import { UsagePage } from "./usage";
import { WebhookPage } from "./webhook";
import { WebhooksPage } from "./webhooks";

interface PageEntry {
  name: string;
  title: MessageKey;
  /** One of them opens it; none are needed where there are none. */
  scopes: readonly string[];
  /** Whether other places lead to it, and not the navigation. */
  isUnlisted?: boolean;
  /** At `#/name`. */
  List: ComponentType<{ id: string }>;
  /** At `#/name/id`. */
  One?: ComponentType<{ id: string }>;
  /** At `#/name/new`, which is no id. */
  New?: ComponentType;
  /** At `#/name/compare`, which is no id either. */
  Compare?: ComponentType;
}

export const PAGES: readonly PageEntry[] = [
  { name: "", title: "nav.home", scopes: ["jobs", "models:read", "usage"], List: HomePage },
  { name: "jobs", title: "nav.jobs", scopes: ["jobs"], List: JobsPage, One: JobPage, New: NewJobPage, Compare: ComparisonPage },
  {
    name: "datasets",
    title: "nav.datasets",
    scopes: ["datasets"],
    List: DatasetsPage,
    One: DatasetPage,
    New: NewDatasetPage,
    Compare: DatasetComparisonPage,
  },
  { name: "models", title: "nav.models", scopes: ["models:read"], List: ModelsPage, One: ModelPage },
  { name: "aliases", title: "alias.new", scopes: ["models:write"], isUnlisted: true, List: NewAliasPage, One: AliasPage },
  { name: "experiments", title: "nav.experiments", scopes: ["models:read"], List: ExperimentsPage, One: ExperimentPage },
  { name: "playground", title: "nav.playground", scopes: ["chat"], List: PlaygroundPage, Compare: PlaygroundComparisonPage },
  { name: "keys", title: "nav.keys", scopes: ["keys"], List: KeysPage, One: KeyPage, New: NewKeyPage },
  { name: "usage", title: "nav.usage", scopes: ["usage"], List: UsagePage },
  { name: "logs", title: "nav.logs", scopes: ["logs"], List: LogsPage },
  { name: "policies", title: "nav.policies", scopes: ["moderation", "chat"], List: PoliciesPage, One: PolicyPage },
  { name: "operations", title: "nav.operations", scopes: [OPERATOR], List: OperationsPage },
  { name: "tenants", title: "nav.tenants", scopes: [OPERATOR], List: TenantsPage, One: TenantPage },
  { name: "audit", title: "nav.audit", scopes: ["keys"], List: AuditPage },
  { name: "webhooks", title: "nav.webhooks", scopes: ["webhooks"], List: WebhooksPage, One: WebhookPage },
  { name: "budget", title: "nav.budget", scopes: ["budgets"], List: BudgetPage },
  { name: "access", title: "access.title", scopes: [], isUnlisted: true, List: AccessPage },
];
