/** What the admin API answers, as far as the pages use it. Names are the API's own (see `/v1/openapi.json`). */

export interface Diagnostic {
  code: string;
  severity: 'warning' | 'error';
  message: string;
  notes: string[];
  help: string | null;
  rendered: string;
}

export interface Instance {
  id: string;
  service: string;
  number: number;
  state: string;
  pid: number | null;
  port: number | null;
  address: string | null;
  started_at: string | null;
  ready_after_ms: number | null;
  restarts: number;
  last_exit: string | null;
  next_start: string | null;
  adopted: boolean;
  outdated: boolean;
  usage: { cpu_cores: number; memory_bytes: number; processes: number } | null;
  message: string;
}

export interface Service {
  name: string;
  kind: 'service' | 'job' | 'cron';
  schedule: string | null;
  language: string;
  state: string;
  reason: string;
  desired: number;
  ready: number;
  waited_ms: number | null;
  waiting_for: string[];
  next_run: string | null;
  problem: Diagnostic | null;
  instances: Instance[];
}

export interface Status {
  revision: number;
  system: string;
  phase: string;
  services: Service[];
}

export interface System {
  name: string;
  version: string;
  pid: number;
  started_at: string;
  root: string;
  files: string[];
  environment: string | null;
  gateway_url: string | null;
  admin_url: string | null;
  notes: Diagnostic[];
  node: { cpu_cores: number; memory_bytes: number };
  logs: { size_bytes: number; size_max_bytes: number; lines: number; dropped_old: number; dropped_failed: number };
}

export interface Counts {
  requests: number;
  requests_per_second: number;
  in_flight: number;
  errors: number;
  errors_per_second: number;
  retries: number;
  latency: { p50_ms: number; p95_ms: number; p99_ms: number } | null;
}

export interface Traffic {
  at: string;
  window_ms: number;
  services: { service: string; total: Counts; instances: { instance: string; counts: Counts }[] }[];
  listeners: Listener[];
}

export interface Listener {
  name: string;
  address: string;
  connections: number;
  requests: number;
}

export interface HappenedEvent {
  seq: number;
  at: string;
  service: string | null;
  instance: string | null;
  kind: string;
  message: string;
}

export interface LogLine {
  seq: number;
  at: string;
  service: string;
  instance: string;
  stream: 'out' | 'err' | 'node';
  level: 'debug' | 'info' | 'warn' | 'error' | null;
  text: string;
  cut: boolean;
}

export interface Logs {
  lines: LogLine[];
  next: number;
  more: boolean;
  notices: Diagnostic[];
}

export interface FinishedRequest {
  at: string;
  method: string;
  host: string;
  path: string;
  status: number | null;
  duration_ms: number;
  first_byte_ms: number | null;
  client: string;
  http: string;
  caller: string | null;
  route: string | null;
  service: string | null;
  instance: string | null;
  retries: number;
  trace: string | null;
  refusal: string | null;
  error: string | null;
}
