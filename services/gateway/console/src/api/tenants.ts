/** Tenants of the installation, as operators see them. */
import type { BudgetUsage, Limits } from "./limits";

export interface Tenant {
  id: string;
  status: "active" | "suspended" | "deleting" | "deleted";
  /** Null for one that only tokens name. */
  created_at: number | null;
  changed_at: number | null;
  changed_by: string | null;
  limits: Limits;
  usage: BudgetUsage;
}
