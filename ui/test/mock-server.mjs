// A stand-in for the server: serves `dist` and answers `/api/v1` with demo data. For developing the
// pages and for the browser test without a real server.
//
//   node test/mock-server.mjs [port] [--nodes N] [--empty]

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { demoTree, load, PODS, SERVICES } from './demo-data.mjs';
import { encodeFlm1 } from './flm1.mjs';

const TYPE = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds';
const DIST = new URL('../dist/', import.meta.url);
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css' };

class BadRequest extends Error {}

/** Starts a mock; `state.empty` and `state.broken` can be changed while it runs. */
export async function startMock({ port = 0, nodes = 50_000, empty = false } = {}) {
  const state = { empty, broken: false, started: Date.now() };
  const flame = gzipSync(encodeFlm1(demoTree(nodes)));
  const nothing = gzipSync(encodeFlm1(demoTree(0)));
  const server = createServer((request, response) => {
    answer(state, flame, nothing, request, response).catch((error) => {
      const status = error instanceof BadRequest ? 400 : 500;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: error.message }));
    });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url, state, close };
}

async function answer(state, flame, nothing, request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://mock');
  if (!pathname.startsWith('/api/')) return serveFile(pathname, response);
  if (state.broken) throw new Error('storage: wal-17.log: No space left on device (os error 28)');
  const query = Object.fromEntries(searchParams);
  checkSelector(query.q ?? '');
  const path = pathname.slice('/api/v1/'.length);
  if (path === 'flame') {
    const empty = state.empty || (query.q ?? '').includes('nothing');
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' });
    return response.end(empty ? nothing : flame);
  }
  if (path === 'export') {
    response.writeHead(200, { 'content-disposition': `attachment; filename="profile.${query.format}"` });
    return response.end('demo');
  }
  const body = json(state, path, query);
  response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' });
  return response.end(JSON.stringify(body ?? { error: `no such endpoint: ${pathname}` }));
}

function checkSelector(q) {
  const regex = /[!=]~"((?:[^"\\]|\\.)*)"/.exec(q);
  try {
    if (regex) new RegExp(regex[1]);
  } catch {
    throw new BadRequest(`selector ${q}: regular expression "${regex[1]}" is not valid: unclosed group at offset 0`);
  }
  if (q !== '' && !/^\{.*\}$/.test(q)) throw new BadRequest(`selector ${q}: expected {label="value", …}`);
}

function json(state, path, query) {
  if (path === 'types') {
    return { types: state.empty ? [] : [TYPE, 'process_cpu:samples:count:cpu:nanoseconds', 'off_cpu:off_cpu:nanoseconds:off_cpu:nanoseconds', 'memory:inuse_space:bytes:space:bytes'] };
  }
  if (path === 'overview') return overview(state, query);
  if (path === 'series') return series(state, query);
  if (path === 'labels') return { labels: [['service_name', 22], ['host', 3], ['pod', 46], ['namespace', 2], ['container.id', 61]].map(([name, values]) => ({ name, values })) };
  if (path === 'status') return status(state);
  if (path === 'unnamed') return unnamed(state);
  const label = /^labels\/([^/]+)\/values$/.exec(path);
  if (!label) return undefined;
  const values = { service_name: SERVICES.map(({ name }) => name), pod: PODS, host: ['node-1', 'node-2', 'node-3'], namespace: ['prod', 'staging'] };
  const all = values[decodeURIComponent(label[1])] ?? [];
  return { values: all.map((value, index) => ({ value, total: 4e11 * 0.7 ** index })) };
}

function overview(state, { from, to, type, points }) {
  const [start, end] = [Number(from), Number(to)];
  const step = Math.ceil((end - start) / Number(points) / 5000) * 5000;
  const count = Math.ceil((end - start) / step);
  const base = { from: start, to: end, type, step_ms: step, total: 0, cores: 0, hosts: 0, services: [] };
  if (state.empty) return base;
  const seconds = (end - start) / 1000;
  const services = SERVICES.map(({ name, cores, hottest, layers }, index) => {
    const total = Math.round(cores * seconds * 1e9);
    const values = Array.from({ length: count }, (_, at) => Math.round((total / count) * load(start + at * step, index)));
    return { name, total, cores, share: 0, values, layers: layers.map((part) => Math.round((total * part) / 100)), hottest: { name: hottest, self: Math.round(total * 0.07) } };
  });
  const total = services.reduce((sum, service) => sum + service.total, 0);
  for (const service of services) service.share = service.total / total;
  return { ...base, total, cores: total / seconds / 1e9, hosts: 3, services };
}

function series(state, { from, to, step, by }) {
  const stepMs = Number(step);
  const start = Math.floor(Number(from) / stepMs) * stepMs;
  const count = Math.ceil((Number(to) - start) / stepMs);
  const groups = by === '' ? [['', 21]] : by === 'pod' ? PODS.map((pod, index) => [pod, 9 - index * 2]) : Array.from({ length: 11 }, (_, index) => [`${by}-${index + 1}`, 4 / (index + 1)]);
  if (state.empty) return { step_ms: stepMs, start, series: [] };
  return {
    step_ms: stepMs,
    start,
    series: groups.map(([value, cores], index) => ({
      labels: by === '' ? {} : { [by]: value },
      values: Array.from({ length: count }, (_, at) => Math.round(cores * stepMs * 1e6 * load(start + at * stepMs, index * 2 + 1))),
    })),
  };
}

function status(state) {
  const now = Date.now();
  const agents = ['node-1', 'node-2', 'node-3'].map((host, index) => ({ host, last_seen_ms: now - [3000, 6000, 190_000][index], samples: 812_000 - index * 120_400, lost: [0, null, 312][index], lost_by_reason: [{}, null, { ring_full: 300, no_memory: 12 }][index] }));
  return {
    version: '0.1.0',
    uptime_ms: now - state.started + 7_512_000,
    ready: true,
    ingest: state.empty ? { requests: 0, rejected: 0, samples: 0, rows: 0 } : { requests: 4812, rejected: 2, samples: 2_075_120, rows: 913_221 },
    agents: state.empty ? [] : agents,
    storage: { dir: './hearth-data', bytes: state.empty ? 4096 : 48_211_004, segments: state.empty ? 0 : 31, head_rows: state.empty ? 0 : 20_113 },
    symbols: { files: 3, bytes: 41_211_000, damaged: 0 },
    oldest_ms: state.empty ? null : now - 7_200_000,
    newest_ms: state.empty ? null : now - 4000,
  };
}

function unnamed(state) {
  const of = (binary, build_id, leaf_share, share, places, hint) => ({ binary, build_id, kernel: false, leaf: leaf_share * 1e12, total: share * 1e12, leaf_share, share, places, hint });
  const binaries = [
    of('/opt/checkout/bin/checkout-with-a-rather-long-name', '9f3c1ab2c4d5e6f708192a3b4c5d6e7f80910111', 0.062, 0.113, 412, 'Build it with -g, or keep its debug file, or bring it: hearth symbols upload /opt/checkout/bin/checkout-with-a-rather-long-name, or let the server ask debuginfod: -symbols.debuginfod-urls https://debuginfod.elfutils.org.'),
    of('/usr/lib/x86_64-linux-gnu/libcrypto.so.3', 'c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00', 0.021, 0.022, 37, 'Install its debug package on the host (Debian, Ubuntu: the one of `dpkg -S /usr/lib/x86_64-linux-gnu/libcrypto.so.3`, with -dbgsym or -dbg; Fedora: dnf debuginfo-install), or bring it: hearth symbols upload /usr/lib/x86_64-linux-gnu/libcrypto.so.3.'),
    of('[anonymous]', '', 0.0004, 0.004, 9, 'Code made at run time. Let the runtime say its names: node --perf-basic-prof, java with -XX:+DumpPerfMapAtExit or a perf-map agent.'),
  ];
  return state.empty ? { total: 0, leaf: 0, leaf_share: 0, count: 0, binaries: [] } : { total: 1e12, leaf: 8.34e10, leaf_share: 0.0834, count: 12, binaries };
}

async function serveFile(pathname, response) {
  const page = ['/', '/explore', '/status'].includes(pathname) ? 'index.html' : pathname.slice(1);
  if (page.includes('..')) return response.writeHead(404).end();
  try {
    const bytes = await readFile(new URL(page, DIST));
    response.writeHead(200, { 'content-type': TYPES[page.split('.').pop()] ?? 'application/octet-stream' });
    return response.end(bytes);
  } catch {
    return response.writeHead(404).end();
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const option = argv.indexOf('--nodes');
  const mock = await startMock({
    port: Number(argv[2]) || 4041,
    empty: argv.includes('--empty'),
    ...(option > 0 ? { nodes: Number(argv[option + 1]) } : {}),
  });
  console.log(`mock server on ${mock.url}`);
}
