// The flame model: decoding, layout, functions, search, sandwich, paths, viewport, keyboard walks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFlame, DecodeError } from '../src/flame/decode.ts';
import { functionRows, sortRows } from '../src/flame/functions.ts';
import { pathOf } from '../src/flame/model.ts';
import { findPath, pathHash } from '../src/flame/paths.ts';
import { sandwich } from '../src/flame/sandwich.ts';
import { compilePattern, matchedTotal, matchNames, matchOne, widestFrame } from '../src/flame/search.ts';
import { ROW_PX, Viewport } from '../src/flame/viewport.ts';
import { hottestChild, leftSibling, rightSibling } from '../src/flame/walk.ts';
import { bufferOf, modelOf, nodeNamed, printed } from './check.ts';
import { demoTree } from './demo-data.mjs';
import { encodeFlm1, treeNode, treeOfFolded } from './flm1.mjs';

const PARSER = `
  main;parse;read 6
  main;parse;skip 1
  main;parse 2
  main;idle 1`;

test('a decoded tree has totals, and siblings stand in order after their caller’s own value', () => {
  const model = modelOf(PARSER);
  assert.deepEqual(printed(model), [
    'total 10 0',
    '  main 10 0',
    '    idle 1 1',
    '    parse 9 2',
    '      read 6 6',
    '      skip 1 1',
  ]);
  const starts = ['idle', 'parse', 'read', 'skip'].map((name) => model.start[nodeNamed(model, name)]);
  assert.deepEqual(starts, [0, 1, 3, 9]);
  assert.deepEqual([model.depth, model.grandTotal], [3, 10]);
});

test('children never leave their caller, at any size', () => {
  const model = decodeFlame(bufferOf(encodeFlm1(demoTree(20_000))));
  for (let node = 1; node < model.nodeCount; node++) {
    const caller = model.parent[node]!;
    assert.ok(model.start[node]! >= model.start[caller]!);
    assert.ok(model.start[node]! + model.total[node]! <= model.start[caller]! + model.total[caller]!);
    assert.equal(model.level[node], model.level[caller]! + 1);
  }
});

test('a tree of only a root decodes to an empty profile', () => {
  const model = decodeFlame(bufferOf(encodeFlm1(treeNode('total'))));
  assert.deepEqual([model.nodeCount, model.depth, model.grandTotal], [1, 0, 0]);
  assert.deepEqual(functionRows(model), []);
});

test('self values beyond 32 bits survive, divided by their quantum on the wire', () => {
  const model = modelOf('a 86400000000000000\n b 10000000');
  assert.deepEqual([model.self[nodeNamed(model, 'a')], model.grandTotal], [86_400_000_000_000_000, 86_400_000_010_000_000]);
});

test('damaged answers are refused with what is wrong', () => {
  const whole = encodeFlm1(treeOfFolded(PARSER));
  const changed = (at: number, value: number): ArrayBuffer => {
    const copy = whole.slice();
    copy[at] = value;
    return bufferOf(copy);
  };
  const cases: [string, ArrayBuffer, RegExp][] = [
    ['nothing', new ArrayBuffer(0), /0 bytes are too few/],
    ['another format', changed(0, 0x7b), /not FLM1/],
    ['a later version', changed(4, 2), /version 2 is unknown, expected 1/],
    ['no nodes', changed(8, 0), /0 nodes/],
    ['more nodes than levels', changed(8, 7), /levels end early at node 6/],
    ['a cut end', bufferOf(whole.subarray(0, whole.length - 1)), /bytes, expected/],
    ['a root below level 0', changed(40, 5), /node 0 has level -5/],
    ['a name that is not there', changed(46 + 1, 99), /node 1 has name 99 of 6/],
    ['fewer names than promised', changed(24, 3), /bytes, expected/],
  ];
  for (const [what, bytes, message] of cases) {
    assert.throws(() => decodeFlame(bytes), (error) => error instanceof DecodeError && message.test(error.message), what);
  }
});

test('recursion counts once toward a function’s total', () => {
  const rows = functionRows(modelOf('f;g;f;h 5\n f;f 2\n h;f 1\n g 3'));
  const figures = sortRows(rows, 'name').map(({ name, self, total }) => `${name} ${self} ${total}`);
  assert.deepEqual(figures, ['f 3 8', 'g 3 8', 'h 5 6']);
});

test('functions sort by self, total or name; ties stand by name', () => {
  const rows = functionRows(modelOf('a;b 2\n c 2\n d;a 5'));
  const order = (by: 'self' | 'total' | 'name'): string => sortRows(rows, by).map(({ name }) => name).join('');
  assert.deepEqual([order('self'), order('total'), order('name')], ['abcd', 'adbc', 'abcd']);
});

test('a function called like the root is still a function', () => {
  const rows = functionRows(modelOf('total;a 3'));
  assert.deepEqual(rows.map(({ name, total }) => `${name} ${total}`).sort(), ['a 3', 'total 3']);
});

test('search counts outermost matches only and ignores the root', () => {
  const model = modelOf('malloc;mmap;malloc 4\n free 3\n main;Malloc 2\n main 1');
  const hits = matchNames(model, compilePattern('malloc|total')!);
  assert.equal(matchedTotal(model, hits), 6);
  assert.equal(matchedTotal(model, matchOne(model, 'free')), 3);
  assert.equal(matchedTotal(model, matchOne(model, 'absent')), 0);
  assert.equal(widestFrame(model, model.names.indexOf('malloc')), nodeNamed(model, 'malloc'));
  assert.equal(compilePattern('('), null);
});

test('a sandwich merges all places a function is called from', () => {
  const model = modelOf('main;a;f;x 3\n main;b;f;x 4\n main;b;f;y 1\n main;b 9');
  const { callers, callees } = sandwich(model, model.names.indexOf('f'));
  assert.deepEqual(printed(callers), ['f 8 0', '  b 5 0', '    main 5 5', '  a 3 0', '    main 3 3']);
  assert.deepEqual(printed(callees), ['f 8 0', '  x 7 7', '  y 1 1']);
});

test('a sandwich counts recursion once', () => {
  const model = modelOf('f;g;f;h 5\n f 2');
  const { callers, callees } = sandwich(model, model.names.indexOf('f'));
  assert.deepEqual([callers.grandTotal, callees.grandTotal], [7, 7]);
  assert.deepEqual(printed(callees), ['f 7 2', '  g 5 0', '    f 5 0', '      h 5 5']);
});

test('a path hash finds its frame again in newer data', () => {
  const before = modelOf('main;a;f 3\n main;b;f 4');
  const after = modelOf('init 1\n main;a;f 30\n main;a;e 3\n main;b;f 4\n main;b;a;f 1');
  const node = pathOf(before, nodeNamed(before, 'b')).at(-1)! + 1;
  const found = findPath(after, pathHash(before, node));
  assert.deepEqual(pathOf(after, found).map((at) => after.names[after.name[at]!]), ['total', 'main', 'b', 'f']);
  assert.equal(findPath(after, pathHash(before, 0)), 0);
  assert.equal(findPath(modelOf('other 1'), pathHash(before, node)), -1);
  assert.equal(findPath(after, 'no hash'), -1);
});

test('path hashes of a large tree are all different', () => {
  const model = decodeFlame(bufferOf(encodeFlm1(demoTree(20_000))));
  const hashes = new Set(Array.from({ length: model.nodeCount }, (_, node) => pathHash(model, node)));
  assert.equal(hashes.size, model.nodeCount);
});

function viewportOn(folded: string, flipped = false, firstLevel = 0) {
  const model = modelOf(folded);
  const viewport = new Viewport({ flipped, firstLevel });
  viewport.width = 100;
  viewport.height = 10 * ROW_PX;
  viewport.showAll(model);
  const at = (x: number, row: number): string => {
    const node = viewport.nodeAt(model, x, row * ROW_PX + 5);
    return node < 0 ? '' : model.names[model.name[node]!]!;
  };
  return { model, viewport, at };
}

test('pixels hit the frames drawn there', () => {
  const { at } = viewportOn(PARSER);
  const cases: [string, number, number, string][] = [
    ['the root row', 50, 0, 'total'],
    ['the first child', 5, 2, 'idle'],
    ['a right neighbour from its left edge', 10, 2, 'parse'],
    ['a caller’s own value is left of its callees', 20, 3, ''],
    ['a callee', 50, 3, 'read'],
    ['below the deepest level', 50, 4, ''],
    ['left of everything', -1, 0, ''],
  ];
  for (const [what, x, row, want] of cases) assert.equal(at(x, row), want, what);
});

test('a flipped graph grows upwards and can leave out its first level', () => {
  const { at } = viewportOn(PARSER, true, 1);
  assert.deepEqual([at(50, 9), at(50, 8), at(50, 7), at(50, 6)], ['main', 'parse', 'read', '']);
});

test('zooming keeps the value under the pointer and stays inside the profile', () => {
  const { model, viewport, at } = viewportOn(PARSER);
  viewport.zoomAt(model, 50, 0.5);
  assert.deepEqual([viewport.left, viewport.right, at(50, 3)], [2.5, 7.5, 'read']);
  viewport.zoomAt(model, 50, 100);
  assert.deepEqual([viewport.left, viewport.right], [0, 10]);
  viewport.setRange(model, 8, 12);
  assert.deepEqual([viewport.left, viewport.right], [6, 10]);
  viewport.zoomAt(model, 0, 1e-12);
  assert.ok(viewport.span > 0);
});

test('keys walk to the hottest callee and to neighbours, and stop at ends', () => {
  const model = modelOf(PARSER);
  const [main, idle, parse, read] = ['main', 'idle', 'parse', 'read'].map((name) => nodeNamed(model, name)) as [
    number,
    number,
    number,
    number,
  ];
  assert.equal(hottestChild(model, main), parse);
  assert.equal(hottestChild(model, read), read);
  assert.equal(rightSibling(model, idle), parse);
  assert.equal(rightSibling(model, parse), parse);
  assert.equal(leftSibling(model, parse), idle);
  assert.equal(leftSibling(model, idle), idle);
  assert.equal(leftSibling(model, 0), 0);
});
