// The function table: self and total per function over the whole tree.

import type { FlameModel } from './model.ts';

export interface FunctionRow {
  /** Name index in the model. */
  id: number;
  name: string;
  self: number;
  total: number;
}

export type FunctionSort = 'self' | 'total' | 'name';

/** Every function with a value. Recursion counts once: only the outermost call adds to the total. */
export function functionRows(model: FlameModel): FunctionRow[] {
  const { nodeCount, names, name, level } = model;
  const self = new Float64Array(names.length);
  const total = new Float64Array(names.length);
  const openCalls = new Uint32Array(names.length);
  const stack = new Uint32Array(model.depth + 1);
  let stackTop = 0;
  for (let node = 1; node < nodeCount; node++) {
    const at = level[node]!;
    while (stackTop >= at) openCalls[name[stack[stackTop--]!]!]!--;
    const id = name[node]!;
    self[id]! += model.self[node]!;
    if (openCalls[id] === 0) total[id]! += model.total[node]!;
    openCalls[id]!++;
    stack[(stackTop = at)] = node;
  }
  const rows: FunctionRow[] = [];
  for (let id = 0; id < names.length; id++) {
    if (total[id]! > 0) rows.push({ id, name: names[id]!, self: self[id]!, total: total[id]! });
  }
  return rows;
}

/** A sorted copy; equal values stand by name, so that the order never depends on the tree. */
export function sortRows(rows: readonly FunctionRow[], by: FunctionSort): FunctionRow[] {
  const byName = (a: FunctionRow, b: FunctionRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  if (by === 'name') return rows.slice().sort(byName);
  return rows.slice().sort((a, b) => b[by] - a[by] || byName(a, b));
}
