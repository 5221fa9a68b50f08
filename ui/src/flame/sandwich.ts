// Sandwich: everything above and below one function, merged over all places it is called from.

import { buildModel, type FlameModel } from './model.ts';

export interface Sandwich {
  /** Root is the function; children are its callers, their callers, and so on. */
  callers: FlameModel;
  /** Root is the function; children are what it calls. */
  callees: FlameModel;
}

/** Callers and callees of function `id`. Recursive calls inside an outermost call are its callees. */
export function sandwich(model: FlameModel, id: number): Sandwich {
  const callers = new Trie(id);
  const callees = new Trie(id);
  const copied = new Int32Array(model.nodeCount);
  for (let node = 1; node < model.nodeCount; ) {
    if (model.name[node] !== id) {
      node++;
      continue;
    }
    addCallers(callers, model, node);
    addCallees(callees, model, node, copied);
    node = model.end[node]!;
  }
  return { callers: callers.toModel(model), callees: callees.toModel(model) };
}

function addCallers(callers: Trie, model: FlameModel, node: number): void {
  const value = model.total[node]!;
  let at = 0;
  callers.addTotal(at, value);
  for (let caller = model.parent[node]!; caller > 0; caller = model.parent[caller]!) {
    at = callers.child(at, model.name[caller]!);
    callers.addTotal(at, value);
  }
  callers.addSelf(at, value);
}

function addCallees(callees: Trie, model: FlameModel, node: number, copied: Int32Array): void {
  const end = model.end[node]!;
  for (let at = node; at < end; at++) {
    const copy = at === node ? 0 : callees.child(copied[model.parent[at]!]!, model.name[at]!);
    copied[at] = copy;
    callees.addSelf(copy, model.self[at]!);
    callees.addTotal(copy, model.total[at]!);
  }
}

/** A tree under construction, merged by name. */
class Trie {
  private readonly names: number[];
  private readonly selfs: number[] = [0];
  private readonly totals: number[] = [0];
  private readonly children: (Map<number, number> | undefined)[] = [undefined];

  constructor(rootName: number) {
    this.names = [rootName];
  }

  child(parent: number, name: number): number {
    const siblings = (this.children[parent] ??= new Map());
    let node = siblings.get(name);
    if (node === undefined) {
      node = this.names.length;
      this.names.push(name);
      this.selfs.push(0);
      this.totals.push(0);
      this.children.push(undefined);
      siblings.set(name, node);
    }
    return node;
  }

  addSelf(node: number, value: number): void {
    this.selfs[node]! += value;
  }

  addTotal(node: number, value: number): void {
    this.totals[node]! += value;
  }

  /** The tree in preorder, siblings by total, largest first. */
  toModel({ names, layers }: FlameModel): FlameModel {
    const count = this.names.length;
    const name = new Uint32Array(count);
    const level = new Uint16Array(count);
    const self = new Float64Array(count);
    const pending: { node: number; level: number }[] = [{ node: 0, level: 0 }];
    for (let out = 0; pending.length > 0; out++) {
      const next = pending.pop()!;
      name[out] = this.names[next.node]!;
      level[out] = next.level;
      self[out] = this.selfs[next.node]!;
      const children = [...(this.children[next.node]?.values() ?? [])];
      children.sort((a, b) => this.totals[a]! - this.totals[b]!);
      for (const child of children) pending.push({ node: child, level: next.level + 1 });
    }
    return buildModel({ names, layers, name, level, self });
  }
}
