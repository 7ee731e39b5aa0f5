/** What a form of an order begins with: that of an earlier job, where the address names one. */
import type { ComponentChildren } from "preact";
import type { JsonObject } from "../api/body_values";
import { useLoaded } from "../api/loaded";
import type { Job } from "../api/types";
import { Shown } from "../parts/states";

interface OrderProps {
  /** Id of the earlier job; null where there is none. */
  from: string | null;
  /** Without one. */
  order: JsonObject;
  /** The order that a job was. */
  again: (job: Job) => JsonObject;
  children: (order: JsonObject) => ComponentChildren;
}

export function OrderToBegin({ from, order, again, children }: OrderProps) {
  return from ? <EarlierOrder {...{ from, again, children }} /> : <>{children(order)}</>;
}

function EarlierOrder({ from, again, children }: Omit<OrderProps, "order" | "from"> & { from: string }) {
  const job = useLoaded<Job>(`/v1/jobs/${encodeURIComponent(from)}`);
  return <Shown of={job}>{(found) => children(again(found))}</Shown>;
}
