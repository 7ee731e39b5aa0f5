/** Capacity: what workers, inference and queues could take, and what they take now; for operators. */
import type { ComponentChildren } from "preact";
import type { ProcessRoom, QueueRoom, ReplicaRoom, ServedVersionRoom, SystemCapacity, WorkerRoom } from "../api/capacity";
import { useLoaded } from "../api/loaded";
import { bytes, duration, figure, whole } from "../format";
import { named, t, type MessageKey } from "../i18n";
import { Empty, Shown } from "../parts/states";
import { Table } from "../parts/table";

const RELOAD_SECONDS = 15;
const QUEUE_COLUMNS = ["ops.kind", "ops.waiting", "ops.running", "cap.free_slots", "cap.wait"] as const;
const PROCESS_COLUMNS = ["ops.service", "cap.slots", "cap.short", "cap.cores", "cap.memory", "cap.gpus", "cap.disk"] as const;
const REPLICA_COLUMNS = ["ops.address", "cap.reserved", "cap.room", "cap.versions"] as const;
const MODEL_COLUMNS = ["model.version", "cap.requests", "cap.batch", "cap.admission", "cap.tokens", "cap.memory"] as const;

export function Capacity() {
  const capacity = useLoaded<SystemCapacity>("/v1/capacity", RELOAD_SECONDS);
  return (
    <section aria-labelledby="capacity">
      <h2 id="capacity">{t("cap.title")}</h2>
      <Shown of={capacity}>{(found) => <Found of={found} />}</Shown>
    </section>
  );
}

function Found({ of }: { of: SystemCapacity }) {
  return (
    <>
      <Part id="cap_queues" title={t("ops.queues")} columns={QUEUE_COLUMNS}>
        {of.queues.map((each) => (
          <QueueRow key={each.kind} of={each} />
        ))}
      </Part>
      <Part id="cap_workers" title={t("ops.workers")} columns={PROCESS_COLUMNS}>
        {of.processes.map((each) => (
          <ProcessRow key={`${each.service} ${each.address}`} of={each} />
        ))}
      </Part>
      <Part id="cap_inference" title={t("cap.inference")} columns={REPLICA_COLUMNS}>
        {of.replicas.map((each) => (
          <ReplicaRow key={each.address} of={each} />
        ))}
      </Part>
      <Models replicas={of.replicas} />
      <h3>{t("cap.not_known")}</h3>
      <ul>
        {of.unknown.map((each) => (
          <li key={each}>{each}</li>
        ))}
      </ul>
    </>
  );
}

interface PartProps {
  id: string;
  title: string;
  columns: readonly MessageKey[];
  children: ComponentChildren;
}

function Part({ id, title, columns, children }: PartProps) {
  return (
    <>
      <h3 id={id}>{title}</h3>
      <Table labelledBy={id} head={columns.map((key) => t(key))}>
        {children}
      </Table>
    </>
  );
}

function of(part: number | string, all: number | string): string {
  return t("cap.of", { part, all });
}

function QueueRow({ of: { kind, waiting, running, free_slots, expected_wait_seconds, unknown } }: { of: QueueRoom }) {
  return (
    <tr>
      <th scope="row">{named("kind", kind)}</th>
      <td>{whole(waiting)}</td>
      <td>{whole(running)}</td>
      <td>{free_slots === null ? t("cap.unknown") : whole(free_slots)}</td>
      <td>{expected_wait_seconds === null ? `${t("cap.unknown")}: ${unknown}` : duration(expected_wait_seconds)}</td>
    </tr>
  );
}

function ProcessRow({ of: process }: { of: ProcessRoom }) {
  const { service, address, worker, unknown } = process;
  return (
    <tr>
      <th scope="row">
        {service} <small>{worker?.worker ?? address}</small>
      </th>
      {worker ? <Slots of={worker} /> : <td colSpan={5}>{unknown}</td>}
      <td>{diskText(process)}</td>
    </tr>
  );
}

function diskText({ artifact_disk_bytes, artifact_disk_free_bytes }: ProcessRoom): string {
  if (artifact_disk_bytes === null || artifact_disk_free_bytes === null) return t("cap.unknown");
  return of(bytes(artifact_disk_free_bytes), bytes(artifact_disk_bytes));
}

/** What is free of each; without a size nothing but slots limits it. */
function Slots({ of: worker }: { of: WorkerRoom }) {
  const { slots, free_slots, short_slots, busy_short_slots } = worker;
  return (
    <>
      <td>{of(whole(free_slots), whole(slots))}</td>
      <td>{of(whole(short_slots - busy_short_slots), whole(short_slots))}</td>
      <td>{freeOf(worker.free_cpus, worker.cpus, figure)}</td>
      <td>{freeOf(worker.free_memory_bytes, worker.memory_bytes, bytes)}</td>
      <td>{freeOf(worker.free_gpus, worker.gpus, whole)}</td>
    </>
  );
}

function freeOf(free: number | null, all: number | null, text: (value: number) => string): string {
  return free === null || all === null ? t("limit.none") : of(text(free), text(all));
}

function ReplicaRow({ of: replica }: { of: ReplicaRoom }) {
  const { address, memory_limit_bytes, memory_reserved_bytes, memory_room_bytes, models, unknown } = replica;
  const isKnown = memory_limit_bytes !== null && memory_reserved_bytes !== null && memory_room_bytes !== null;
  return (
    <tr>
      <th scope="row">{address}</th>
      {isKnown ? (
        <>
          <td>{of(bytes(memory_reserved_bytes), bytes(memory_limit_bytes))}</td>
          <td>{bytes(memory_room_bytes)}</td>
          <td>{whole(models.length)}</td>
        </>
      ) : (
        <td colSpan={3}>{unknown}</td>
      )}
    </tr>
  );
}

function Models({ replicas }: { replicas: ReplicaRoom[] }) {
  const rows = replicas.flatMap(({ address, models }) => models.map((model) => ({ address, model })));
  if (rows.length === 0) return <Empty words={t("cap.nothing_loaded")} />;
  return (
    <Part id="cap_models" title={t("cap.loaded")} columns={MODEL_COLUMNS}>
      {rows.map(({ address, model }) => (
        <ModelRow key={`${address} ${model.version_id}`} of={model} address={address} />
      ))}
    </Part>
  );
}

function ModelRow({ of: model, address }: { of: ServedVersionRoom; address: string }) {
  return (
    <tr>
      <th scope="row">
        <code>{model.version_id}</code> <small>{`${model.engine} · ${address}`}</small>
      </th>
      <td>{of(whole(model.in_flight), whole(model.max_in_flight))}</td>
      <td>{of(whole(model.sequences), whole(model.max_sequences))}</td>
      <td>{of(whole(model.waiting), whole(model.max_waiting))}</td>
      <td>{of(whole(model.tokens), whole(model.max_tokens))}</td>
      <td>{bytes(model.memory_bytes)}</td>
    </tr>
  );
}
