import type { Call } from './calls';
import type { Status, Traffic } from './types';

/** Who needs whom, and who calls whom. */
export type Edge = Call;

export interface Graph {
  nodes: string[];
  edges: Edge[];
}

/** Stands for those who call through the gateway. */
export const OUTSIDE = 'gateway';

/** A need has a listener of its own, which is called after its two ends: `orders -> users on 127.0.0.1`. */
function needs(traffic: Traffic | null): [string, string][] {
  return (traffic?.listeners ?? []).flatMap(({ name }) => {
    const [, from, to] = /^(\S+) -> (\S+)(?: on .*)?$/.exec(name) ?? [];
    return from !== undefined && to !== undefined ? [[from, to] as [string, string]] : [];
  });
}

/** The declared needs, with or without calls, and all other calls that were seen. */
export function graphOf(status: Status | null, traffic: Traffic | null, calls: Call[]): Graph {
  const services = status?.services.map((one) => one.name) ?? [];
  const known = new Set(services);
  const edges = calls.filter((call) => known.has(call.to));
  for (const [from, to] of needs(traffic)) {
    const isNew = !edges.some((edge) => edge.from === from && edge.to === to);
    if (isNew && known.has(from) && known.has(to)) edges.push({ from, to, count: 0, rate: 0, errors: 0 });
  }
  // The node itself calls services too: it delivers messages and drives transactions.
  const others = [...new Set(edges.map((edge) => edge.from))].filter((name) => !known.has(name));
  edges.sort((a, b) => `${a.from} ${a.to}`.localeCompare(`${b.from} ${b.to}`));
  return { nodes: [...others.sort(), ...services], edges };
}

export interface Placed {
  width: number;
  height: number;
  nodes: { name: string; x: number; y: number }[];
  edges: { from: string; to: string; points: { x: number; y: number }[] }[];
}

export const NODE = { width: 168, height: 64 };
