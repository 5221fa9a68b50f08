// The part of a flame graph that is on screen: a value range across, a pixel offset down. Pure
// arithmetic, so that zooming and hit-testing can be tested without a canvas.

import type { FlameModel } from './model.ts';

export const ROW_PX = 19;

/** Zooming in ends where the window shows this share of everything. */
const SPAN_MIN_SHARE = 1e-7;

export interface Layout {
  /** Level 0 at the bottom instead of the top. */
  flipped: boolean;
  /** Levels above this one are not drawn. */
  firstLevel: number;
}

export class Viewport {
  left = 0;
  right = 1;
  top = 0;
  width = 1;
  height = 1;
  readonly layout: Layout;

  constructor(layout: Layout) {
    this.layout = layout;
  }

  get span(): number {
    return this.right - this.left;
  }

  showAll(model: FlameModel): void {
    this.left = 0;
    this.right = model.grandTotal;
    this.top = 0;
  }

  /** Moves to the value range, kept inside the profile. */
  setRange(model: FlameModel, left: number, right: number): void {
    const smallest = model.grandTotal * SPAN_MIN_SHARE;
    const span = Math.max(smallest, Math.min(model.grandTotal, right - left));
    this.left = Math.max(0, Math.min(model.grandTotal - span, left));
    this.right = this.left + span;
  }

  setTop(model: FlameModel, top: number): void {
    this.top = Math.max(0, Math.min(this.topMax(model), top));
  }

  /** Leaves one empty row below the deepest level. */
  topMax(model: FlameModel): number {
    return Math.max(0, (model.depth - this.layout.firstLevel + 2) * ROW_PX - this.height);
  }

  /** Zooms by `factor`, keeping the value under pixel `x` in place. */
  zoomAt(model: FlameModel, x: number, factor: number): void {
    const span = Math.max(model.grandTotal * SPAN_MIN_SHARE, Math.min(model.grandTotal, this.span * factor));
    const value = this.left + (x / this.width) * this.span;
    const left = value - (x / this.width) * span;
    this.setRange(model, left, left + span);
  }

  /** The top edge of a level in pixels. */
  levelY(level: number): number {
    const offset = (level - this.layout.firstLevel) * ROW_PX - this.top;
    return this.layout.flipped ? this.height - offset - ROW_PX : offset;
  }

  levelAt(y: number): number {
    const offset = (this.layout.flipped ? this.height - y : y) + this.top;
    return Math.floor(offset / ROW_PX) + this.layout.firstLevel;
  }

  /** First and last level that are at least partly visible. */
  visibleLevels(model: FlameModel): [number, number] {
    const first = Math.floor(this.top / ROW_PX) + this.layout.firstLevel;
    const last = Math.ceil((this.top + this.height) / ROW_PX) + this.layout.firstLevel;
    return [Math.max(this.layout.firstLevel, first), Math.min(model.depth, last)];
  }

  /** The node under a pixel, or -1. */
  nodeAt(model: FlameModel, x: number, y: number): number {
    const level = this.levelAt(y);
    if (level < this.layout.firstLevel || level > model.depth || x < 0 || x > this.width) return -1;
    const value = this.left + (x / this.width) * this.span;
    const index = firstEndingAfter(model, level, value);
    if (index >= model.levelOffsets[level + 1]!) return -1;
    const node = model.levelNodes[index]!;
    return model.start[node]! <= value ? node : -1;
  }
}

/** Index into levelNodes of the level's first node whose right edge is after `value`. */
export function firstEndingAfter(model: FlameModel, level: number, value: number): number {
  const { levelOffsets, levelNodes, start, total } = model;
  let low = levelOffsets[level]!;
  let high = levelOffsets[level + 1]!;
  while (low < high) {
    const middle = (low + high) >> 1;
    const node = levelNodes[middle]!;
    if (start[node]! + total[node]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
