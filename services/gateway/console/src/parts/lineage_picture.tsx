/** A version's lineage as a picture whose nodes lead to their pages; dagre says where each stands. */
import { Fragment } from "preact";
import { Graph, layout } from "@dagrejs/dagre";
import type { LineageGraph, LineageNode } from "../api/lineage";
import { named, t } from "../i18n";
import { addressOf } from "../routing";

const WIDTH = 190;
const HEIGHT = 52;
const MARGIN = 8;
const TITLE_CHARS = 22;

interface Place {
  x: number;
  y: number;
}

interface Drawing {
  width: number;
  height: number;
  nodes: readonly (LineageNode & Place)[];
  lines: readonly (readonly Place[])[];
}

interface LineagePictureProps {
  graph: LineageGraph;
  /** Of the version whose page it is. */
  id: string;
}

export function LineagePicture({ graph, id }: LineagePictureProps) {
  const { width, height, nodes, lines } = drawn(graph);
  return (
    <>
      <div class="overflow-auto" role="group" tabIndex={0} aria-label={t("model.graph")}>
        <svg class="graph" role="presentation" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
          {lines.map((points, n) => (
            <polyline key={n} points={points.map(({ x, y }) => `${x},${y}`).join(" ")} />
          ))}
          {nodes.map((node) => (
            <Node key={node.id} of={node} isThis={node.id === id} />
          ))}
        </svg>
      </div>
      {graph.left > 0 && <p>{t("model.left_out", { n: graph.left })}</p>}
    </>
  );
}

function drawn({ nodes, edges }: LineageGraph): Drawing {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 12, ranksep: 40, marginx: MARGIN, marginy: MARGIN });
  for (const { id } of nodes) graph.setNode(id, { width: WIDTH, height: HEIGHT });
  for (const [from, to] of edges) graph.setEdge(from, to, {});
  layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  return {
    width,
    height,
    nodes: nodes.map((node) => ({ ...node, ...(graph.node(node.id) as Place) })),
    lines: graph.edges().map((edge) => graph.edge(edge).points as Place[]),
  };
}

function Node({ of, isThis }: { of: LineageNode & Place; isThis: boolean }) {
  const { x, y, kind, title, detail } = of;
  const lines = [`${named("model.node", kind)} ${detail}`.trim(), shortened(title)];
  return (
    <a
      href={addressOf(kind === "dataset" ? "datasets" : "models", kind === "alias" ? "" : of.id)}
      aria-label={lines.join(" ")}
      class={`node ${kind}`}
      {...(isThis ? { "aria-current": "true" as const } : {})}
    >
      <title>{of.id}</title>
      <rect x={x - WIDTH / 2} y={y - HEIGHT / 2} width={WIDTH} height={HEIGHT} rx={kind === "version" ? 4 : HEIGHT / 2} />
      {lines.map((text, n) => (
        <Fragment key={n}>
          <text x={x} y={y - 6 + 20 * n} text-anchor="middle">
            {text}
          </text>{" "}
        </Fragment>
      ))}
    </a>
  );
}

/** By characters, not by halves of them. */
function shortened(text: string): string {
  const letters = Array.from(text);
  return letters.length > TITLE_CHARS ? `${letters.slice(0, TITLE_CHARS - 1).join("")}…` : text;
}
