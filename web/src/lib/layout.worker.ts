import dagre from '@dagrejs/dagre';
import { NODE, type Placed } from './graph';

/** Places nodes beside the page's own thread: a large system takes longer than a frame. */
self.addEventListener('message', (event: MessageEvent<{ nodes: string[]; edges: { from: string; to: string }[] }>) => {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: 28, ranksep: 90, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const name of event.data.nodes) graph.setNode(name, { ...NODE });
  for (const { from, to } of event.data.edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  const placed: Placed = {
    width,
    height,
    nodes: event.data.nodes.map((name) => {
      const { x, y } = graph.node(name) as { x: number; y: number };
      return { name, x, y };
    }),
    edges: event.data.edges.map(({ from, to }) => ({ from, to, points: (graph.edge(from, to) as { points: { x: number; y: number }[] }).points })),
  };
  self.postMessage(placed);
});
