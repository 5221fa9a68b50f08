// FLM1: the wire format of a flame graph. A 40-byte header, then columns:
//
//   "FLM1" | u16 version | u16 flags | u32 nodes | u32 × 3 lengths of the node columns |
//   u32 name count | u32 length of names | f64 quantum
//   levels: varint(previous level + 1 − level) | name index: varint | self: varint(self / quantum) |
//   one layer byte per name | names joined by '\n'
//
// Nodes are in preorder; the previous level starts at −1. Little endian.

import { buildModel, type FlameModel } from './model.ts';

const HEADER_BYTES = 40;
const MAGIC = 0x314d4c46; // "FLM1"
const NODES_MAX = 4_000_000;

export class DecodeError extends Error {
  override name = 'DecodeError';
}

interface Header {
  nodes: number;
  columnBytes: [number, number, number];
  nameCount: number;
  nameBytes: number;
  quantum: number;
}

/** Decodes and lays out a flame graph; throws DecodeError on anything that is not a whole FLM1. */
export function decodeFlame(buffer: ArrayBuffer): FlameModel {
  const header = readHeader(buffer);
  const bytes = new Uint8Array(buffer);
  const { nodes, columnBytes, nameCount, nameBytes, quantum } = header;
  let at = HEADER_BYTES;
  const take = (length: number): Uint8Array => bytes.subarray(at, (at += length));
  const levels = readVarints(take(columnBytes[0]), nodes, 'levels');
  const nameIndexes = readVarints(take(columnBytes[1]), nodes, 'name indexes');
  const selfs = readVarints(take(columnBytes[2]), nodes, 'self values');
  const layers = take(nameCount).slice();
  const text = new TextDecoder().decode(take(nameBytes));
  const names = nameCount === 0 ? [] : text.split('\n');
  if (names.length !== nameCount) throw new DecodeError(`flame graph: ${names.length} names, expected ${nameCount}`);
  return buildModel({
    names,
    layers,
    level: absoluteLevels(levels),
    name: checkedNames(nameIndexes, nameCount),
    self: selfs.map((value) => value * quantum),
  });
}

function readHeader(buffer: ArrayBuffer): Header {
  if (buffer.byteLength < HEADER_BYTES) throw new DecodeError(`flame graph: ${buffer.byteLength} bytes are too few`);
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC) throw new DecodeError('flame graph: the answer is not FLM1');
  const version = view.getUint16(4, true);
  if (version !== 1) throw new DecodeError(`flame graph: version ${version} is unknown, expected 1; reload the page`);
  const nodes = view.getUint32(8, true);
  const columnBytes: [number, number, number] = [12, 16, 20].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
  ];
  const nameCount = view.getUint32(24, true);
  const nameBytes = view.getUint32(28, true);
  if (nodes < 1 || nodes > NODES_MAX) throw new DecodeError(`flame graph: ${nodes} nodes, expected 1 to ${NODES_MAX}`);
  const expected = HEADER_BYTES + columnBytes[0] + columnBytes[1] + columnBytes[2] + nameCount + nameBytes;
  if (expected !== buffer.byteLength) {
    throw new DecodeError(`flame graph: ${buffer.byteLength} bytes, expected ${expected}`);
  }
  return { nodes, columnBytes, nameCount, nameBytes, quantum: view.getFloat64(32, true) };
}

/** Multiplies instead of shifting: self values can exceed 32 bits. */
function readVarints(bytes: Uint8Array, count: number, what: string): Float64Array {
  const values = new Float64Array(count);
  let at = 0;
  for (let index = 0; index < count; index++) {
    let value = 0;
    let scale = 1;
    let byte: number;
    do {
      if (at >= bytes.length || scale > 2 ** 63) throw new DecodeError(`flame graph: ${what} end early at node ${index}`);
      byte = bytes[at++]!;
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    values[index] = value;
  }
  if (at !== bytes.length) throw new DecodeError(`flame graph: ${bytes.length - at} bytes after the last ${what}`);
  return values;
}

function absoluteLevels(steps: Float64Array): Uint16Array {
  const level = new Uint16Array(steps.length);
  let previous = -1;
  for (let node = 0; node < steps.length; node++) {
    const next = previous + 1 - steps[node]!;
    if (next < (node === 0 ? 0 : 1) || next > 65_535) throw new DecodeError(`flame graph: node ${node} has level ${next}`);
    level[node] = previous = next;
  }
  return level;
}

function checkedNames(indexes: Float64Array, nameCount: number): Uint32Array {
  for (let node = 0; node < indexes.length; node++) {
    if (indexes[node]! >= nameCount) throw new DecodeError(`flame graph: node ${node} has name ${indexes[node]} of ${nameCount}`);
  }
  return Uint32Array.from(indexes);
}
