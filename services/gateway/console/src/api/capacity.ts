/** What each part of the installation could take and takes now, as `/v1/capacity` has it. */

export interface QueueRoom {
  kind: string;
  waiting: number;
  running: number;
  /** Null where no worker told. */
  free_slots: number | null;
  expected_wait_seconds: number | null;
  unknown: string | null;
}

/** Cores, memory and GPUs are null where it takes whatever comes. */
export interface WorkerRoom {
  worker: string;
  slots: number;
  free_slots: number;
  short_slots: number;
  busy_short_slots: number;
  cpus: number | null;
  free_cpus: number | null;
  memory_bytes: number | null;
  free_memory_bytes: number | null;
  gpus: number | null;
  free_gpus: number | null;
}

export interface ProcessRoom {
  service: string;
  address: string;
  worker: WorkerRoom | null;
  artifact_disk_bytes: number | null;
  artifact_disk_free_bytes: number | null;
  unknown: string | null;
}

export interface ServedVersionRoom {
  version_id: string;
  engine: string;
  in_flight: number;
  max_in_flight: number;
  sequences: number;
  max_sequences: number;
  waiting: number;
  max_waiting: number;
  tokens: number;
  max_tokens: number;
  memory_bytes: number;
}

export interface ReplicaRoom {
  address: string;
  memory_limit_bytes: number | null;
  memory_reserved_bytes: number | null;
  memory_room_bytes: number | null;
  models: ServedVersionRoom[];
  unknown: string | null;
}

export interface SystemCapacity {
  queues: QueueRoom[];
  processes: ProcessRoom[];
  replicas: ReplicaRoom[];
  streams: { name: string; used_bytes: number; free_bytes: number | null }[];
  unknown: string[];
}
