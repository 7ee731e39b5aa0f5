/** The pages by the first part of their address; a new page is a row here and a file beside this one. */
import type { ComponentType } from "preact";
import type { MessageKey } from "../i18n";
import { AuditPage } from "./audit";
import { BudgetPage } from "./budget";
import { ComparisonPage } from "./comparison";
import { DatasetPage } from "./dataset";
import { DatasetsPage } from "./datasets";
import { HomePage } from "./home";
import { JobPage } from "./job";
import { JobsPage } from "./jobs";
import { KeyPage } from "./key";
import { KeysPage } from "./keys";
import { ModelPage } from "./model";
import { ModelsPage } from "./models";
import { NewDatasetPage } from "./new_dataset";
import { NewKeyPage } from "./new_key";
import { NewTrainingPage } from "./new_training";
import { PlaygroundPage } from "./playground";
import { PoliciesPage, PolicyPage } from "./policies";
import { TenantPage } from "./tenant";
import { TenantsPage } from "./tenants";
import { UsagePage } from "./usage";
import { WebhookPage } from "./webhook";
import { WebhooksPage } from "./webhooks";

interface PageEntry {
  name: string;
  title: MessageKey;
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
  { name: "", title: "nav.home", List: HomePage },
  { name: "jobs", title: "nav.jobs", List: JobsPage, One: JobPage, New: NewTrainingPage, Compare: ComparisonPage },
  { name: "datasets", title: "nav.datasets", List: DatasetsPage, One: DatasetPage, New: NewDatasetPage },
  { name: "models", title: "nav.models", List: ModelsPage, One: ModelPage },
  { name: "playground", title: "nav.playground", List: PlaygroundPage },
  { name: "keys", title: "nav.keys", List: KeysPage, One: KeyPage, New: NewKeyPage },
  { name: "usage", title: "nav.usage", List: UsagePage },
  { name: "policies", title: "nav.policies", List: PoliciesPage, One: PolicyPage },
  { name: "tenants", title: "nav.tenants", List: TenantsPage, One: TenantPage },
  { name: "audit", title: "nav.audit", List: AuditPage },
  { name: "webhooks", title: "nav.webhooks", List: WebhooksPage, One: WebhookPage },
  { name: "budget", title: "nav.budget", List: BudgetPage },
];
