// Path hashes: a frame's identity across reloads and refreshes, where node numbers change. The hash
// covers the names from the root down to the frame.

import { hashText } from '../names.ts';
import type { FlameModel } from './model.ts';

interface PathHashes {
  high: Uint32Array;
  low: Uint32Array;
}

const cache = new WeakMap<FlameModel, PathHashes>();

/** The 64-bit hash of the node's path, as 16 hexadecimal digits. */
export function pathHash(model: FlameModel, node: number): string {
  const { high, low } = hashesOf(model);
  return hex(high[node]!) + hex(low[node]!);
}

/** The node with this path hash, or -1. */
export function findPath(model: FlameModel, hash: string): number {
  if (!/^[0-9a-f]{16}$/.test(hash)) return -1;
  const { high, low } = hashesOf(model);
  const [wantHigh, wantLow] = [parseInt(hash.slice(0, 8), 16), parseInt(hash.slice(8), 16)];
  for (let node = 0; node < model.nodeCount; node++) {
    if (low[node] === wantLow && high[node] === wantHigh) return node;
  }
  return -1;
}

function hashesOf(model: FlameModel): PathHashes {
  let hashes = cache.get(model);
  if (!hashes) cache.set(model, (hashes = computeHashes(model)));
  return hashes;
}

function computeHashes({ nodeCount, names, name, parent }: FlameModel): PathHashes {
  const nameHigh = Uint32Array.from(names, (text) => hashText(text, 0x9e3779b9));
  const nameLow = Uint32Array.from(names, (text) => hashText(text));
  const high = new Uint32Array(nodeCount);
  const low = new Uint32Array(nodeCount);
  for (let node = 0; node < nodeCount; node++) {
    const caller = parent[node]!;
    const id = name[node]!;
    high[node] = mix(caller < 0 ? 1 : high[caller]!, nameHigh[id]!);
    low[node] = mix(caller < 0 ? 2 : low[caller]!, nameLow[id]!);
  }
  return { high, low };
}

/** Order matters: mix(mix(a, b), c) differs from mix(mix(a, c), b). */
function mix(hash: number, value: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) ^ value;
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
