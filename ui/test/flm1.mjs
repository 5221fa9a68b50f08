// A reference encoder of FLM1 for tests and the mock server, and trees from folded stacks.

/** @typedef {{ name: string, layer: number, self: number, children: Map<string, TreeNode> }} TreeNode */

/** @param {string} name @param {number} [layer] @returns {TreeNode} */
export function treeNode(name, layer = 0) {
  return { name, layer, self: 0, children: new Map() };
}

/**
 * A tree of lines such as `main;parse;read 6`.
 * @param {string} text
 */
export function treeOfFolded(text) {
  const root = treeNode('total');
  for (const line of text.trim().split('\n')) {
    const space = line.trim().lastIndexOf(' ');
    addPath(root, line.trim().slice(0, space).split(';'), Number(line.trim().slice(space + 1)));
  }
  return root;
}

/** @param {TreeNode} root @param {string[]} path @param {number} value */
export function addPath(root, path, value, layerOf = (/** @type {string} */ _name) => 0) {
  let at = root;
  for (const name of path) {
    let child = at.children.get(name);
    if (!child) at.children.set(name, (child = treeNode(name, layerOf(name))));
    at = child;
  }
  at.self += value;
}

/** @param {TreeNode} root @returns {Uint8Array} */
export function encodeFlm1(root) {
  /** @type {Map<string, number>} */
  const names = new Map();
  /** @type {number[]} */
  const layers = [];
  const levels = [];
  const indexes = [];
  const selfs = [];
  /** @type {{ node: TreeNode, level: number }[]} */
  const pending = [{ node: root, level: 0 }];
  let previous = -1;
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { node, level } = next;
    let index = names.get(node.name);
    if (index === undefined) {
      names.set(node.name, (index = names.size));
      layers.push(node.layer);
    }
    levels.push(previous + 1 - level);
    indexes.push(index);
    selfs.push(node.self);
    previous = level;
    const children = [...node.children.values()].sort((a, b) => (a.name < b.name ? 1 : -1));
    for (const child of children) pending.push({ node: child, level: level + 1 });
  }
  const quantum = Math.max(1, selfs.reduce(gcd, 0));
  const columns = [levels, indexes, selfs.map((self) => self / quantum)].map(varints);
  const text = new TextEncoder().encode([...names.keys()].join('\n'));
  return assemble(levels.length, columns, layers, text, quantum);
}

/** @param {number} nodes @param {Uint8Array[]} columns @param {number[]} layers @param {Uint8Array} text @param {number} quantum */
function assemble(nodes, columns, layers, text, quantum) {
  const length = 40 + columns.reduce((sum, column) => sum + column.length, 0) + layers.length + text.length;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x314d4c46, true);
  view.setUint16(4, 1, true);
  view.setUint32(8, nodes, true);
  columns.forEach((column, index) => view.setUint32(12 + 4 * index, column.length, true));
  view.setUint32(24, layers.length, true);
  view.setUint32(28, text.length, true);
  view.setFloat64(32, quantum, true);
  let at = 40;
  for (const part of [...columns, Uint8Array.from(layers), text]) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @param {number[]} values */
function varints(values) {
  const bytes = [];
  for (let value of values) {
    while (value >= 128) {
      bytes.push((value % 128) | 128);
      value = Math.floor(value / 128);
    }
    bytes.push(value);
  }
  return Uint8Array.from(bytes);
}

/** @param {number} a @param {number} b @returns {number} */
function gcd(a, b) {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
