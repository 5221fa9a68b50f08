// Walking the tree with the keyboard: neighbours of a node. Each returns the node itself at an end.

import type { FlameModel } from './model.ts';

/** The callee with the largest total: following it walks the hot path. */
export function hottestChild({ total, end }: FlameModel, node: number): number {
  let best = node;
  for (let child = node + 1; child < end[node]!; child = end[child]!) {
    if (best === node || total[child]! > total[best]!) best = child;
  }
  return best;
}

export function rightSibling({ nodeCount, level, end }: FlameModel, node: number): number {
  const next = end[node]!;
  return next < nodeCount && level[next] === level[node] ? next : node;
}

export function leftSibling({ parent, end }: FlameModel, node: number): number {
  const caller = parent[node]!;
  if (caller < 0) return node;
  let left = node;
  for (let child = caller + 1; child < node; child = end[child]!) left = child;
  return left;
}
