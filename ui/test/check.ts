// What the tests share: models from folded stacks, and models back as indented text.

import { decodeFlame } from '../src/flame/decode.ts';
import { nodeName, type FlameModel } from '../src/flame/model.ts';
import { encodeFlm1, treeOfFolded } from './flm1.mjs';

/** The model the page would have after fetching the tree of these folded stacks. */
export function modelOf(folded: string): FlameModel {
  return decodeFlame(bufferOf(encodeFlm1(treeOfFolded(folded))));
}

export function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer as ArrayBuffer;
}

/** One line per node: indent by level, name, total and own value. */
export function printed(model: FlameModel): string[] {
  return Array.from({ length: model.nodeCount }, (_, node) => {
    const indent = '  '.repeat(model.level[node]!);
    return `${indent}${nodeName(model, node)} ${model.total[node]} ${model.self[node]}`;
  });
}

/** The first node with this name. */
export function nodeNamed(model: FlameModel, name: string): number {
  for (let node = 0; node < model.nodeCount; node++) if (nodeName(model, node) === name) return node;
  throw new Error(`no node ${name}`);
}
