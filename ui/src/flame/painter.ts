// Painting: from the visible part of a model to rectangles and labels on a 2D canvas.
//
// Work is bounded by pixels, not by nodes: each level is entered by binary search, neighbours
// narrower than a pixel become one rectangle, and rectangles are drawn colour by colour.

import type { LabelFitter } from './labels.ts';
import type { FlameModel } from './model.ts';
import { FILL, type Palette } from './palette.ts';
import type { Hits } from './search.ts';
import { firstEndingAfter, ROW_PX, type Viewport } from './viewport.ts';

export const FONT = '11px Inter, "Segoe UI", Roboto, system-ui, sans-serif';

/** A run of slivers is cut here, so that a highlight inside it stays where it is. */
const RUN_MAX_PX = 200;
const LABEL_MIN_PX = 24;
const LABEL_INSET_PX = 4;

export interface Scene {
  model: FlameModel;
  viewport: Viewport;
  palette: Palette;
  /** Shade index by name. */
  shades: Uint8Array;
  hits: Hits | undefined;
  /** Frames above this one, its callers, are dimmed. */
  focus: number;
  hovered: number;
  selected: number;
  /** Frames narrower than this, one device pixel, are drawn in runs. */
  narrowPx: number;
}

export interface Drawn {
  rects: number;
  labels: number;
}

interface Label {
  name: number;
  x: number;
  y: number;
  width: number;
  dim: boolean;
}

/** Rectangles by fill: x, y, width of one after the other. */
class Buckets {
  private readonly byFill: number[][] = [];
  count = 0;

  add(fill: number, x: number, y: number, width: number): void {
    (this.byFill[fill] ??= []).push(x, y, width);
    this.count++;
  }

  paint(context: CanvasRenderingContext2D, fills: readonly string[]): void {
    this.byFill.forEach((rects, fill) => {
      context.fillStyle = fills[fill]!;
      for (let at = 0; at < rects.length; at += 3) {
        const width = rects[at + 2]!;
        // Wide frames leave a gap to their right neighbour.
        context.fillRect(rects[at]!, rects[at + 1]!, width > 4 ? width - 1 : width, ROW_PX - 1);
      }
    });
  }
}

export function paint(context: CanvasRenderingContext2D, scene: Scene, fitter: LabelFitter): Drawn {
  const { model, viewport, palette } = scene;
  context.fillStyle = palette.background;
  context.fillRect(0, 0, viewport.width, viewport.height);
  const buckets = new Buckets();
  const labels: Label[] = [];
  const [first, last] = viewport.visibleLevels(model);
  for (let level = first; level <= last; level++) collectLevel(scene, level, buckets, labels);
  buckets.paint(context, palette.fills);
  const drawnLabels = drawLabels(context, scene, labels, fitter);
  outline(context, scene, scene.hovered, palette.hoverOutline, 1.5);
  outline(context, scene, scene.selected, palette.selectOutline, 2);
  return { rects: buckets.count, labels: drawnLabels };
}

function collectLevel(scene: Scene, level: number, buckets: Buckets, labels: Label[]): void {
  const { model, viewport, hits } = scene;
  const { levelNodes, levelOffsets, start, total, name } = model;
  const scale = viewport.width / viewport.span;
  const y = viewport.levelY(level);
  const dimLevel = scene.focus > 0 && level < model.level[scene.focus]!;
  const end = levelOffsets[level + 1]!;
  let index = firstEndingAfter(model, level, viewport.left);
  while (index < end) {
    const node = levelNodes[index]!;
    const left = (start[node]! - viewport.left) * scale;
    if (left >= viewport.width) break;
    const right = left + total[node]! * scale;
    if (right - left < scene.narrowPx) {
      index = collectSlivers(scene, index, end, y, buckets);
      continue;
    }
    const id = name[node]!;
    const dim = dimLevel || (hits !== undefined && hits[id] !== 1);
    const x = Math.max(0, left);
    const width = Math.min(viewport.width, right) - x;
    buckets.add(fillOf(scene, node, dim), x, y, width);
    if (width > LABEL_MIN_PX) labels.push({ name: id, x, y, width, dim });
    index++;
  }
}

function fillOf({ model, shades }: Scene, node: number, dim: boolean): number {
  if (node === 0) return dim ? FILL.rootDim : FILL.root;
  return (dim ? FILL.dim : FILL.full) + shades[model.name[node]!]!;
}

/** Draws a run of neighbours narrower than a device pixel as one; returns the index after the run. */
function collectSlivers(scene: Scene, from: number, end: number, y: number, buckets: Buckets): number {
  const { model, viewport, shades, hits } = scene;
  const { levelNodes, start, total, name } = model;
  const scale = viewport.width / viewport.span;
  const first = levelNodes[from]!;
  const left = (start[first]! - viewport.left) * scale;
  let right = left;
  let hit = false;
  let index = from;
  for (; index < end && right - left < RUN_MAX_PX; index++) {
    const node = levelNodes[index]!;
    const nodeLeft = (start[node]! - viewport.left) * scale;
    const nodeWidth = total[node]! * scale;
    if (index > from && (nodeLeft - right > 1.25 || nodeWidth >= scene.narrowPx || nodeLeft > viewport.width)) break;
    const nodeHit = hits !== undefined && hits[name[node]!] === 1;
    if (nodeHit !== hit && index > from && right - left >= 1) break;
    hit ||= nodeHit;
    right = nodeLeft + nodeWidth;
  }
  const fill = hits ? (hit ? FILL.sliverHit : FILL.sliverMiss) : FILL.sliver + shades[name[first]!]!;
  buckets.add(fill, left, y, Math.max(hit ? 1.5 : 0.6, right - left));
  return index;
}

function drawLabels(
  context: CanvasRenderingContext2D,
  { model, palette }: Scene,
  labels: readonly Label[],
  fitter: LabelFitter,
): number {
  context.font = FONT;
  context.textBaseline = 'middle';
  let drawn = 0;
  for (const dim of [false, true]) {
    context.fillStyle = dim ? palette.dimLabel : palette.label;
    for (const label of labels) {
      if (label.dim !== dim) continue;
      const text = fitter.fit(model.names, label.name, label.width - 2 * LABEL_INSET_PX);
      if (text === '') continue;
      context.fillText(text, label.x + LABEL_INSET_PX, label.y + ROW_PX / 2);
      drawn++;
    }
  }
  return drawn;
}

function outline(
  context: CanvasRenderingContext2D,
  { model, viewport }: Scene,
  node: number,
  color: string,
  lineWidth: number,
): void {
  if (node < 0 || model.level[node]! < viewport.layout.firstLevel) return;
  const scale = viewport.width / viewport.span;
  const left = Math.max(-2, (model.start[node]! - viewport.left) * scale);
  const right = Math.min(viewport.width + 2, (model.start[node]! + model.total[node]! - viewport.left) * scale);
  if (right < 0 || left > viewport.width) return;
  context.strokeStyle = color;
  context.lineWidth = lineWidth;
  const inset = lineWidth / 2;
  const y = viewport.levelY(model.level[node]!);
  context.strokeRect(left + inset, y + inset, Math.max(1, right - left - 1 - lineWidth), ROW_PX - 1 - lineWidth);
}
