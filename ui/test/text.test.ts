// Everything that turns text into meaning or back: URLs, selectors, times, names, figures.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { niceMaximum, timeTicks } from '../src/chart/timeline.ts';
import { formatBytes, formatCores, formatCount, formatDuration, formatNanoseconds, formatShare, isCpuTime, typeLabel } from '../src/format.ts';
import { listName, scopeOf, shorten } from '../src/names.ts';
import { equalTo, formatSelector, parseSelector, withEqual } from '../src/selector.ts';
import { describeRange, parseTime, resolveRange, shortRange, slotEnd, stepFor } from '../src/time.ts';
import { DEFAULTS, formatUrl, parseSelection, parseUrl, type UrlState } from '../src/url.ts';

test('an address round-trips every part of the state', () => {
  const state: UrlState = {
    page: 'explore',
    q: '{service_name="checkout", pod=~"a-.*"}',
    type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
    from: '1763900000000',
    to: '1763903600000',
    sel: '1763901000000-1763902000000',
    search: 'malloc|json & more',
    sort: 'total',
    focus: '0123456789abcdef',
    fn: 'a::b<C>::d',
    view: 'sandwich',
    by: 'pod',
    theme: 'light',
    live: 'off',
  };
  const [path, query] = formatUrl(state).split('?');
  assert.deepEqual(parseUrl(path!, query!), state);
});

test('defaults leave the address clean, and pages have their paths', () => {
  assert.equal(formatUrl(DEFAULTS), './');
  assert.equal(formatUrl({ ...DEFAULTS, page: 'explore' }), './explore');
  assert.equal(formatUrl({ ...DEFAULTS, page: 'status' }), './status');
  assert.equal(parseUrl('/behind/a/proxy/explore', '').page, 'explore');
  assert.equal(parseUrl('/', '').page, 'fleet');
});

test('unknown parameters and values are ignored', () => {
  assert.deepEqual(parseUrl('/', '?sort=sideways&theme=pink&live=maybe&foo=1'), DEFAULTS);
});

test('classic links open the same query', () => {
  const query = '?query=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7Bservice_name%3D%22x%22%7D&from=now-1h&until=now';
  const { page, q, type, from, to } = parseUrl('/', query);
  assert.deepEqual([page, q, type, from, to], [
    'explore',
    '{service_name="x"}',
    'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
    'now-1h',
    'now',
  ]);
});

test('a selection is two times in order', () => {
  assert.deepEqual(parseSelection('1763901000000-1763902000000'), { from: 1763901000000, to: 1763902000000 });
  for (const bad of ['', '5-6', '1763902000000-1763901000000', 'a-b']) assert.equal(parseSelection(bad), null, bad);
});

test('selectors parse to matchers and back', () => {
  const cases: [string, string | null][] = [
    ['', ''],
    ['{}', ''],
    ['{a="b"}', '{a="b"}'],
    ['a="b"', '{a="b"}'],
    ['{ a = "b" , c!~"d.*",}', '{a="b", c!~"d.*"}'],
    ['{a!="", b=~"x|y"}', '{a!="", b=~"x|y"}'],
    ['{"container.id"="c", process.pid="1"}', '{"container.id"="c", "process.pid"="1"}'],
    ['{a="quote \\" backslash \\\\ newline \\n"}', '{a="quote \\" backslash \\\\ newline \\n"}'],
    ['{a=b}', null],
    ['{a="b" c="d"}', null],
    ['{="b"}', null],
    ['{a=="b"}', null],
  ];
  for (const [text, want] of cases) {
    const matchers = parseSelector(text);
    assert.equal(matchers && formatSelector(matchers), want, text);
  }
});

test('pinning a label replaces an earlier pin and keeps the rest', () => {
  const matchers = parseSelector('{a="1", b=~"x", a!="2"}')!;
  const pinned = withEqual(matchers, 'a', '3');
  assert.equal(formatSelector(pinned), '{b=~"x", a!="2", a="3"}');
  assert.equal(equalTo(pinned, 'a'), '3');
  assert.equal(equalTo(pinned, 'b'), undefined);
});

test('times are relative, or milliseconds or seconds since the epoch', () => {
  const now = 1_763_900_000_000;
  const cases: [string, number | null][] = [
    ['now', now],
    ['now-15m', now - 900_000],
    ['now-2w', now - 1_209_600_000],
    ['1763900000000', now],
    ['1763900000', now],
    ['yesterday', null],
    ['now-15', null],
    ['', null],
  ];
  for (const [text, want] of cases) assert.equal(parseTime(text, now), want, text);
});

test('an unusable range falls back to 15 minutes', () => {
  assert.deepEqual(resolveRange('x', 'y', 1e12), { from: 1e12 - 900_000, to: 1e12 });
  assert.deepEqual(resolveRange('now', 'now-1h', 1e12), { from: 1e12 - 3_600_000 - 900_000, to: 1e12 - 3_600_000 });
  assert.equal(describeRange('now-15m', 'now'), 'Last 15 minutes');
  assert.equal(describeRange('now-30m', 'now'), 'Last 30m');
  assert.equal(shortRange('now-15m', 'now'), '15m');
});

test('steps are round, whole slots, and few enough', () => {
  const cases: [number, number][] = [
    [60_000, 5000],
    [900_000, 5000],
    [3_600_000, 15_000],
    [86_400_000, 600_000],
    [2_592_000_000, 10_800_000],
  ];
  for (const [length, want] of cases) assert.equal(stepFor({ from: 0, to: length }, 240), want, String(length));
  assert.equal(slotEnd(12_001), 15_000);
});

test('ticks stand on round times inside the range', () => {
  const ticks = timeTicks({ from: 1_763_900_007_000, to: 1_763_900_907_000 }, 8);
  assert.ok(ticks.length >= 4 && ticks.length <= 9);
  assert.ok(ticks.every(({ time }) => time % 60_000 === 0));
  assert.deepEqual([0, 0.31, 1, 7.2, 23, 99].map(niceMaximum), [1, 0.35, 1, 7.5, 25, 100]);
});

test('names shorten from directories and type arguments down to the bare function', () => {
  const cases: [string, string[]][] = [
    ['main', ['main']],
    [
      'github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage',
      [
        'github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage',
        'pgconn.(*PgConn).receiveMessage',
        '(*PgConn).receiveMessage',
        'receiveMessage',
      ],
    ],
    ['java/util/HashMap.getNode', ['java/util/HashMap.getNode', 'HashMap.getNode', 'getNode']],
    [
      'core::hash::BuildHasher::hash_one',
      ['core::hash::BuildHasher::hash_one', 'BuildHasher::hash_one', 'hash_one'],
    ],
    [
      '<alloc::vec::Vec<T> as core::ops::Drop>::drop',
      ['<alloc::vec::Vec<T> as core::ops::Drop>::drop', 'alloc::vec::Vec::drop', 'Vec::drop', 'drop'],
    ],
    ['re2::DFA::Run(re2::DFA::State*, int)', ['re2::DFA::Run(re2::DFA::State*, int)', 're2::DFA::Run', 'DFA::Run', 'Run']],
    ['std::operator<<(std::ostream&)', ['std::operator<<(std::ostream&)', 'std::operator<<', 'operator<<']],
    ['entry_SYSCALL_64_after_hwframe', ['entry_SYSCALL_64_after_hwframe']],
    ['tokio::runtime::task::{{closure}}', ['tokio::runtime::task::{{closure}}', 'task::{{closure}}', '{{closure}}']],
  ];
  for (const [name, want] of cases) assert.deepEqual(shorten(name), want, name);
  assert.equal(listName('shop/auth.(*QueryService).List'), 'auth.(*QueryService).List');
});

test('a shortened name is never empty, whatever the name', () => {
  for (const name of ['', '<', '>', '()', '::', '.', '<>', 'a::', 'operator()', '(*T)', '<unknown>', '[kernel.kallsyms]', '-[NSObject init]', 'libc.so.6+0x1f']) {
    for (const form of shorten(name)) assert.ok(name === '' || form !== '', name);
    assert.ok(name === '' || listName(name) !== '', name);
    scopeOf(name);
  }
});

test('functions of one package share a scope', () => {
  assert.equal(scopeOf('shop/auth.(*A).B'), scopeOf('shop/auth.C'));
  assert.equal(scopeOf('core::hash::a'), scopeOf('core::hash::b'));
  assert.notEqual(scopeOf('core::hash::a'), scopeOf('core::fmt::b'));
});

test('figures carry their unit and about three digits', () => {
  const cases: [string, string][] = [
    [formatNanoseconds(0), '0 ns'],
    [formatNanoseconds(1.5e6), '2 ms'],
    [formatNanoseconds(9.05e10), '1.51 min'],
    [formatNanoseconds(7.2e12), '2.00 h'],
    [formatBytes(0), '0 B'],
    [formatBytes(48_211_004), '46.0 MiB'],
    [formatCount(4812), '4,812'],
    [formatCount(913_221), '913 k'],
    [formatCores(0.004), '<0.01'],
    [formatCores(21.46), '21.5'],
    [formatShare(1, 3), '33.3%'],
    [formatShare(1, 11), '9.09%'],
    [formatShare(1, 0), '–'],
    [formatDuration(12_000), '12 s'],
    [formatDuration(190_000), '3 min'],
    [formatDuration(9_000_000), '2.5 h'],
  ];
  for (const [got, want] of cases) assert.equal(got, want);
  assert.equal(typeLabel('process_cpu:cpu:nanoseconds:cpu:nanoseconds'), 'CPU time');
  assert.ok(isCpuTime('process_cpu:cpu:nanoseconds:cpu:nanoseconds'));
  assert.ok(!isCpuTime('off_cpu:off_cpu:nanoseconds:off_cpu:nanoseconds'));
});
