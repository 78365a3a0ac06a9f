/** Answers about topics, transactions, stores and configuration. Names are the API's own. */

export interface Broker {
  place: string;
  up: boolean;
  trouble: string | null;
}

export interface Topic {
  name: string;
  of_file: boolean;
  messages: number;
  size_bytes: number;
  first: number;
  last: number;
  retain_ms: number | null;
  attempts_max: number | null;
  dead_topic: string | null;
  dead: number;
  groups: number;
}

export interface Group {
  name: string;
  settled: number;
  lag: number;
  in_flight: number;
  waiting: number;
  subscriptions: number;
  durable: boolean;
}

export interface Subscription {
  topic: string;
  group: string;
  declared_by: string;
  service: string | null;
  routes: { when: string | null; to: string }[];
  delivered: number;
  done: number;
  retried: number;
  dead: number;
  dropped: number;
  in_flight: number;
  paused: string | null;
  last_error: string | null;
}

/** Content is in one of three forms, or in none when it is empty. */
export interface Content {
  data?: unknown;
  value?: unknown;
  text?: string | null;
  base64?: string | null;
}

export interface Message {
  offset: number;
  at: string;
  message_id: string;
  event: Content & { id: string | null; type: string | null; source: string | null; key: string | null };
  only_group: string | null;
  dead: { topic: string; offset: number; group: string; reason: string; attempts: number; at: string } | null;
}

export interface TopicDetail {
  topic: Topic;
  groups: Group[];
  subscriptions: Subscription[];
}

export interface Job {
  owner: string;
  name: string;
  schedule: string | null;
  due: string | null;
  paused: boolean;
  next_at: string | null;
  runs: number;
  last: { due_at: string; attempts: number; outcome: string; error: string | null } | null;
}

export interface EventStream {
  name: string;
  revision: number;
  position: number;
  at: string;
}

export interface Branch {
  id: string;
  status: string;
  done?: string[];
  op?: string | null;
  attempts?: number;
  next?: string | null;
  error?: string | null;
  heuristic?: string | null;
  after?: string[];
  calls?: Record<string, string>;
  joins?: string | null;
}

export interface Transaction {
  id: string;
  mode: string;
  name?: string | null;
  status: string;
  attention?: string | null;
  reason?: string | null;
  begun: string;
  decided?: string | null;
  ended?: string | null;
  deadline?: string | null;
  node: string;
  caller?: string | null;
  labels?: Record<string, string>;
  input?: unknown;
  safety?: string | null;
  branches: Branch[];
}

export interface TransactionEvent {
  seq: number;
  at: string;
  status: string;
  branch?: string | null;
  op?: string | null;
  text: string;
}

export interface Store {
  name: string;
  kind: 'state' | 'cache' | 'lock' | 'config' | 'secret';
  cache: { items: number; size_bytes: number; hits: number; misses: number } | null;
}

export interface Kv {
  place: string;
  up: boolean;
  trouble: string | null;
  revision: number | null;
  size_bytes: number | null;
}

export interface StateItem extends Content {
  key: string;
  etag: string;
  expires_at?: string | null;
}

export interface Lock {
  resource: string;
  owner: string;
  token: number;
  since: string;
  remaining_ms: number | null;
  instance: string | null;
  node: string;
}

export interface ConfigItem {
  value: string;
  version: number;
  changed_at: string;
  by: string;
}

export interface ConfigVersion {
  version: number;
  value: string | null;
  changed_at: string;
  by: string;
  restores: number | null;
}
