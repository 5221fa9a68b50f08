// Deterministic demo data: services of a shop, and a call graph walked at random into a deep tree
// with functions of all layers and languages.

import { addPath, treeNode } from './flm1.mjs';

const PACKAGES = ['auth', 'gateway', 'search', 'checkout', 'ingest', 'ads', 'ledger', 'pricing', 'feed', 'ranker'];
const THINGS = ['Order', 'Query', 'Chunk', 'Label', 'Plan', 'Token', 'Price', 'Invoice', 'Catalog', 'Session', 'Batch', 'Cart'];
const VERBS = ['Publish', 'List', 'Decode', 'Encode', 'Validate', 'Filter', 'Compact', 'Authorize', 'Render', 'Scan', 'Merge', 'Resolve'];

const FIXED = [
  ['encoding/json.(*encodeState).reflectValue', 1],
  ['encoding/json.structEncoder.encode', 1],
  ['net/http.(*conn).serve', 1],
  ['github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage', 1],
  ['axum::handler::HandlerService<H,T,S>::call', 1],
  ['serde_json::ser::to_writer', 1],
  ['com/fasterxml/jackson/databind/ObjectMapper.writeValue', 1],
  ['re2::DFA::RunStateOnByte(re2::DFA::State*, int)', 1],
  ['runtime.mallocgc', 2],
  ['runtime.scanobject', 2],
  ['runtime.gcDrain', 2],
  ['core::hash::BuildHasher::hash_one', 2],
  ['<alloc::vec::Vec<T> as core::ops::Drop>::drop', 2],
  ['java/util/HashMap.getNode', 2],
  ['_PyEval_EvalFrameDefault', 2],
  ['malloc', 3],
  ['__memcpy_avx_unaligned_erms', 3],
  ['_int_free', 3],
  ['pthread_mutex_lock', 3],
  ['entry_SYSCALL_64_after_hwframe', 4],
  ['do_syscall_64', 4],
  ['tcp_sendmsg', 4],
  ['__do_softirq', 4],
  ['asm_exc_page_fault', 4],
  ['clear_page_erms', 4],
  ['ep_poll', 4],
];

/** The function every demo profile is sure to contain. */
export const DEMO_FUNCTION = 'encoding/json.(*encodeState).reflectValue';

/** A small, fast generator of numbers in [0, 1) (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A tree with about `nodes` nodes. */
export function demoTree(nodes, seed = 1) {
  const next = random(seed);
  const functions = demoFunctions();
  const layers = new Map(functions);
  const callees = functions.map((_, caller) => calleesOf(caller, functions, next));
  const root = treeNode('total');
  let made = 0;
  while (made < nodes) {
    const path = [];
    let at = Math.floor(next() ** 3 * 12);
    const depth = 6 + Math.floor(next() ** 2.2 * 78);
    while (path.length < depth) {
      path.push(functions[at][0]);
      const choices = callees[at];
      if (choices.length === 0) break;
      at = choices[Math.floor(next() ** 3.4 * choices.length)];
    }
    made += newNodes(root, path);
    addPath(root, path, (1 + Math.floor(next() ** 6 * 40)) * 10_000_000, (name) => layers.get(name) ?? 0);
  }
  return root;
}

function demoFunctions() {
  const functions = [];
  for (const pkg of PACKAGES) {
    for (const thing of THINGS) {
      for (const verb of VERBS) functions.push([`shop/${pkg}.(*${thing}Service).${verb}${thing}`, 0]);
    }
  }
  // Fixed names stand at regular places, so that walks meet them.
  FIXED.forEach((entry, index) => functions.splice(index * 9, 0, entry));
  return functions;
}

function calleesOf(caller, functions, next) {
  const layer = functions[caller][1];
  const count = 2 + Math.floor(next() * 7);
  const all = Array.from({ length: count }, () => Math.floor(next() ** 1.6 * functions.length));
  return layer === 4 ? all.filter((callee) => functions[callee][1] === 4) : all;
}

function newNodes(root, path) {
  let at = root;
  let known = 0;
  for (const name of path) {
    at = at.children.get(name);
    if (!at) break;
    known++;
  }
  return path.length - known;
}

/** Services with their CPU in cores, largest first. */
export const SERVICES = [
  'checkout', 'search-ranker', 'catalog', 'feed-mixer', 'gateway', 'ads-bidder', 'postgres', 'ledger', 'auth',
  'thumbnailer', 'kafka', 'recs-python', 'node-exporter', 'clickhouse', 'kubelet', 'etcd', 'session-redis',
  'invoice-pdf', 'otel-collector', 'nginx-edge', 'mail-worker', 'prometheus',
].map((name, index) => ({
  name,
  cores: 21.4 * 0.78 ** index + 0.06,
  hottest: FIXED[(index * 7) % FIXED.length][0],
  layers: [[52, 18, 16, 6, 8], [61, 20, 6, 5, 8], [40, 34, 14, 4, 8], [48, 22, 4, 17, 9], [26, 22, 18, 6, 28]][index % 5],
}));

export const PODS = ['checkout-7d9f-a', 'checkout-7d9f-b', 'checkout-7d9f-c', 'checkout-canary'];

/** Load over time around 1, smooth, the same for the same time. */
export function load(time, phase) {
  const minutes = time / 60_000;
  return 1 + 0.16 * Math.sin(minutes / 7 + phase) + 0.06 * Math.sin(minutes / 1.3 + phase * 3) + 0.03 * Math.sin(minutes * 5.1 + phase * 7);
}
