// Search: which functions a pattern matches, and which share of the profile they cover.

import type { FlameModel } from './model.ts';

/** One byte per name: 1 if it matches. */
export type Hits = Uint8Array;

/** The pattern as a case-insensitive regular expression, or null if it is not one. */
export function compilePattern(pattern: string): RegExp | null {
  try {
    return new RegExp(pattern, 'i');
  } catch {
    return null;
  }
}

export function matchNames(model: FlameModel, pattern: RegExp): Hits {
  const hits = new Uint8Array(model.names.length);
  for (let id = 0; id < hits.length; id++) if (pattern.test(model.names[id]!)) hits[id] = 1;
  return hits;
}

/** Marks exactly one function. */
export function matchOne(model: FlameModel, name: string): Hits {
  const hits = new Uint8Array(model.names.length);
  const id = model.names.indexOf(name);
  if (id >= 0) hits[id] = 1;
  return hits;
}

/** The widest frame of a function, or -1. */
export function widestFrame({ nodeCount, name, total }: FlameModel, id: number): number {
  let best = -1;
  for (let node = 1; node < nodeCount; node++) {
    if (name[node] === id && (best < 0 || total[node]! > total[best]!)) best = node;
  }
  return best;
}

/** The value below matching frames; a match inside a match is not counted again. */
export function matchedTotal(model: FlameModel, hits: Hits): number {
  let sum = 0;
  for (let node = 1; node < model.nodeCount; ) {
    if (hits[model.name[node]!]) {
      sum += model.total[node]!;
      node = model.end[node]!;
    } else {
      node++;
    }
  }
  return sum;
}
