// The flame model: a profile's tree as columns, in preorder. Node 0 is the root, a node's subtree is
// the index range [node, end[node]), so every question is one walk over typed arrays.

export interface FlameModel {
  readonly nodeCount: number;
  /** The deepest level; the root's is 0. */
  readonly depth: number;
  /** Function names by name index, and what kind of code each is. */
  readonly names: readonly string[];
  readonly layers: Uint8Array;
  /** Per node: name index, level, parent (-1 for the root), end of its subtree. */
  readonly name: Uint32Array;
  readonly level: Uint16Array;
  readonly parent: Int32Array;
  readonly end: Uint32Array;
  /** Per node, in the profile's unit: own value, value with all callees, left edge. */
  readonly self: Float64Array;
  readonly total: Float64Array;
  readonly start: Float64Array;
  /** Nodes by level, left to right: level l is levelNodes[levelOffsets[l] .. levelOffsets[l + 1]]. */
  readonly levelOffsets: Uint32Array;
  readonly levelNodes: Uint32Array;
  /** The root's total. */
  readonly grandTotal: number;
}

/** What the wire carries; everything else follows from it. */
export interface FlameColumns {
  names: readonly string[];
  layers: Uint8Array;
  name: Uint32Array;
  level: Uint16Array;
  self: Float64Array;
}

/** Lays out a tree. `columns` has at least the root, and levels never grow by more than one. */
export function buildModel({ names, layers, name, level, self }: FlameColumns): FlameModel {
  const { parent, end, depth } = linkNodes(level);
  const total = sumUp(parent, self);
  const { levelOffsets, levelNodes } = indexLevels(level, depth);
  return {
    nodeCount: level.length,
    depth,
    names,
    layers,
    name,
    level,
    parent,
    end,
    self,
    total,
    start: placeNodes(parent, self, total),
    levelOffsets,
    levelNodes,
    grandTotal: total[0] ?? 0,
  };
}

function linkNodes(level: Uint16Array): { parent: Int32Array; end: Uint32Array; depth: number } {
  const count = level.length;
  const parent = new Int32Array(count);
  const end = new Uint32Array(count);
  const open: number[] = [];
  let depth = 0;
  for (let node = 0; node < count; node++) {
    const at = level[node]!;
    if (at > depth) depth = at;
    while (open.length > at) end[open.pop()!] = node;
    parent[node] = at > 0 ? open[at - 1]! : -1;
    open.push(node);
  }
  for (const node of open) end[node] = count;
  return { parent, end, depth };
}

function sumUp(parent: Int32Array, self: Float64Array): Float64Array {
  const total = self.slice();
  for (let node = total.length - 1; node > 0; node--) total[parent[node]!]! += total[node]!;
  return total;
}

/** Children stand in order after their parent's own value. */
function placeNodes(parent: Int32Array, self: Float64Array, total: Float64Array): Float64Array {
  const count = total.length;
  const start = new Float64Array(count);
  const nextChild = new Float64Array(count);
  for (let node = 0; node < count; node++) {
    const caller = parent[node]!;
    if (caller >= 0) {
      start[node] = nextChild[caller]!;
      nextChild[caller]! += total[node]!;
    }
    nextChild[node] = start[node]! + self[node]!;
  }
  return start;
}

function indexLevels(level: Uint16Array, depth: number): { levelOffsets: Uint32Array; levelNodes: Uint32Array } {
  const levelOffsets = new Uint32Array(depth + 2);
  for (const at of level) levelOffsets[at + 1]!++;
  for (let at = 0; at <= depth; at++) levelOffsets[at + 1]! += levelOffsets[at]!;
  const next = levelOffsets.slice();
  const levelNodes = new Uint32Array(level.length);
  for (let node = 0; node < level.length; node++) levelNodes[next[level[node]!]!++] = node;
  return { levelOffsets, levelNodes };
}

/** The function's name at a node. */
export function nodeName(model: FlameModel, node: number): string {
  return model.names[model.name[node]!] ?? '';
}

/** The node's path, root first. */
export function pathOf(model: FlameModel, node: number): number[] {
  const path: number[] = [];
  for (let at = node; at >= 0; at = model.parent[at]!) path.push(at);
  return path.reverse();
}
