// The pages in a real browser.
//
// Against a running server:  HEARTH_URL=http://localhost:4040 [HEARTH_SERVICE=name]
// [HEARTH_FUNCTION=name] npm run test:browser. The server must hold samples of the service, and of
// the function in it; without a name the first service and its widest frame are used.
// Without HEARTH_URL: against the mock server, with more cases.
//
// CHROMIUM names the browser; the default is Debian's.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { DEMO_FUNCTION } from './demo-data.mjs';
import { startMock } from './mock-server.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SCREENSHOTS = process.env.HEARTH_SCREENSHOTS;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const WAIT = { timeout: 30_000 };

const missing = existsSync(EXECUTABLE) ? false : `no browser at ${EXECUTABLE}`;
if (missing) console.log(`skipped: ${missing}`);
const real = process.env.HEARTH_URL !== undefined;

let mock;
let browser;
let url;

before(async () => {
  if (missing) return;
  if (!real) mock = await startMock({ nodes: 50_000 });
  url = (process.env.HEARTH_URL ?? mock.url).replace(/\/$/, '');
  browser = await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
});

after(async () => {
  await browser?.close();
  await mock?.close();
});

/** A fresh page that records what must not happen: errors, and requests to other servers. */
async function openPage(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`page: ${error.stack}`));
  page.on('request', (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith('http') && target.origin !== url) problems.push(`off-origin: ${target.href}`);
  });
  await page.goto(url + path);
  return { page, problems, close: () => context.close() };
}

const flameReady = (page) => page.waitForFunction(() => (window.__hearth?.drawnRects() ?? 0) > 1, undefined, WAIT);
const hook = (page, method, ...args) => page.evaluate(([name, rest]) => window.__hearth[name](...rest), [method, args]);

async function screenshot(page, name) {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
}

test('from the fleet to a function’s frame, and back by its address', { skip: missing }, async () => {
  const { page, problems, close } = await openPage('/');
  const named = process.env.HEARTH_SERVICE ?? (real ? undefined : 'checkout');
  const row = named ? page.locator(`tr[data-service=${JSON.stringify(named)}]`) : page.locator('tr[data-service]').first();
  await row.waitFor(WAIT);
  const service = await row.getAttribute('data-service');
  await screenshot(page, 'fleet');
  await row.click();

  await page.waitForURL(/\/explore\?/);
  assert.match(decodeURIComponent(page.url()), new RegExp(`service_name="${service.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}"`));
  await flameReady(page);
  const wanted = process.env.HEARTH_FUNCTION ?? (real ? await hook(page, 'widestAt', 1) : DEMO_FUNCTION);

  // In the table: the search narrows it to the function, with the share it matched.
  await page.fill('#search', wanted.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const tableRow = page.locator(`[data-function=${JSON.stringify(wanted)}]`);
  await tableRow.waitFor(WAIT);
  assert.match(await page.locator('#matched').innerText(), /\d%\s+matched/);
  await screenshot(page, 'search');
  // Marking it brings its widest frame into view.
  await tableRow.click();
  await page.fill('#search', '');

  // In the flame graph: pausing keeps the picture still while it is clicked.
  await page.getByRole('button', { name: 'Live' }).click();
  await page.waitForFunction((name) => window.__hearth.frameCentre(name) !== null, wanted, WAIT);
  const centre = await hook(page, 'frameCentre', wanted);
  await page.mouse.move(centre.x, centre.y);
  await page.locator('.tooltip h3').waitFor(WAIT);
  assert.equal(await page.locator('.tooltip h3').innerText(), wanted);
  await page.mouse.click(centre.x, centre.y);
  await page.waitForURL(/focus=[0-9a-f]{16}/);
  assert.equal(await hook(page, 'selectedName'), wanted);
  await page.waitForFunction(() => document.querySelector('.breadcrumb') !== null, undefined, WAIT);
  await page.waitForTimeout(400);
  const before = await hook(page, 'visibleRange');
  await screenshot(page, 'explore');

  await page.reload();
  await flameReady(page);
  assert.equal(await hook(page, 'focusName'), wanted);
  assert.equal(await hook(page, 'selectedName'), wanted);
  const again = await hook(page, 'visibleRange');
  // A live server may have got more samples meanwhile; the zoomed frame stays the same one.
  const tolerance = real ? 0.2 : 1e-9;
  assert.ok(Math.abs(again.right - again.left - (before.right - before.left)) <= tolerance, JSON.stringify({ before, again }));
  assert.deepEqual(problems, []);
  await close();
});

test('the status page shows the server and its agents', { skip: missing }, async () => {
  const { page, problems, close } = await openPage('/status');
  await page.getByText('Ingest since start').waitFor(WAIT);
  assert.match(await page.locator('main').innerText(), /State\s+ready/);
  await page.getByText('Code without names').waitFor(WAIT);
  if (!real) {
    const unnamed = await page.locator('.unnamed').innerText();
    assert.match(unnamed, /8\.34% of the CPU time/);
    assert.match(unnamed, /libcrypto\.so\.3\s+c0ffee00[\s\S]*2\.10%[\s\S]*hearth symbols upload/);
    assert.match(unnamed, /no build ID[\s\S]*0\.04%/);
    assert.match(unnamed, /and 9 more/);
    assert.equal(await page.locator('.agents td.bad').getAttribute('title'), 'ring full: 300\nno memory: 12');
  }
  await screenshot(page, 'status');
  assert.deepEqual(problems, []);
  await close();
});

const mockOnly = missing || (real ? 'only against the mock server' : false);
const CHECKOUT = `/explore?live=off&q=${encodeURIComponent('{service_name="checkout"}')}`;

test('every part of the address survives a reload', { skip: mockOnly }, async () => {
  const path = `${CHECKOUT}&from=now-1h&search=malloc&sort=total&by=pod&fn=malloc&theme=light`;
  const { page, problems, close } = await openPage(path);
  await flameReady(page);
  const address = page.url();
  for (const part of ['from=now-1h', 'search=malloc', 'sort=total', 'by=pod', 'fn=malloc', 'theme=light', 'live=off']) {
    assert.ok(address.includes(part), part);
  }
  await page.reload();
  await flameReady(page);
  assert.equal(page.url(), address);
  assert.equal(await page.inputValue('#search'), 'malloc');
  assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
  assert.equal(await page.locator('[aria-sort=descending]').innerText(), 'Total ↓');
  assert.equal(await page.locator('.table-row.selected').getAttribute('data-function'), 'malloc');
  assert.deepEqual(problems, []);
  await close();
});

test('wheel, drag, keys and double click move the flame graph', { skip: mockOnly }, async () => {
  const { page, problems, close } = await openPage(CHECKOUT);
  await flameReady(page);
  const width = async () => {
    const { left, right } = await hook(page, 'visibleRange');
    return right - left;
  };
  const box = await page.locator('[data-chart=main] canvas').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 60);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -400);
  await page.keyboard.up('Control');
  assert.ok((await width()) < 0.6);
  const { left } = await hook(page, 'visibleRange');
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 - 200, box.y + 60, { steps: 4 });
  await page.mouse.up();
  assert.ok((await hook(page, 'visibleRange')).left > left);
  assert.ok(!page.url().includes('focus='), 'a drag is no click');
  await page.locator('[data-chart=main] canvas').focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  const selected = await hook(page, 'selectedName');
  assert.ok(selected !== '' && selected !== 'total');
  await page.keyboard.press('Enter');
  await page.waitForURL(/focus=/);
  assert.equal(await hook(page, 'focusName'), selected);
  assert.ok((await page.locator('#frame-detail').innerText()).includes(selected));
  await page.mouse.dblclick(box.x + 300, box.y + 80);
  await page.waitForFunction(() => window.__hearth.visibleRange().right - window.__hearth.visibleRange().left > 0.999, undefined, WAIT);
  assert.ok(!page.url().includes('focus='));
  assert.deepEqual(problems, []);
  await close();
});

test('filters are added, edited and removed; the brush narrows the range', { skip: mockOnly }, async () => {
  const { page, problems, close } = await openPage(CHECKOUT);
  await flameReady(page);
  await page.locator('.querybar > .popover').first().getByRole('button').click();
  await page.getByRole('combobox', { name: 'label' }).fill('pod');
  await page.getByRole('option').first().waitFor(WAIT);
  await page.keyboard.press('Enter');
  await page.getByRole('option', { name: 'checkout-canary' }).click();
  const q = () => new URL(page.url()).searchParams.get('q');
  assert.equal(q(), '{service_name="checkout", pod="checkout-canary"}');
  await page.locator('.chip-text', { hasText: 'pod' }).click();
  await page.getByRole('combobox', { name: 'operator' }).selectOption('!~');
  await page.getByRole('button', { name: 'Apply' }).click();
  assert.equal(q(), '{service_name="checkout", pod!~"checkout-canary"}');
  await page.getByRole('button', { name: 'Remove filter pod' }).click();
  assert.equal(q(), '{service_name="checkout"}');

  const box = await page.locator('.timeline-canvas canvas').boundingBox();
  await page.mouse.move(box.x + 400, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + 800, box.y + 40, { steps: 4 });
  const asked = page.waitForRequest((request) => request.url().includes('/api/v1/flame'));
  await page.mouse.up();
  await page.waitForURL(/sel=/);
  const [from, to] = new URL(page.url()).searchParams.get('sel').split('-').map(Number);
  assert.ok(to > from && from % 5000 === 0 && to % 5000 === 0);
  const parameters = new URL((await asked).url()).searchParams;
  assert.deepEqual([parameters.get('from'), parameters.get('to')], [String(from), String(to)]);
  await page.goBack();
  await page.waitForURL((address) => !address.searchParams.has('sel'));
  assert.deepEqual(problems, []);
  await close();
});

test('a sandwich opens from the table and closes again', { skip: mockOnly }, async () => {
  const { page, problems, close } = await openPage(CHECKOUT);
  await flameReady(page);
  await page.locator('.table-row').nth(2).dblclick();
  await page.locator('[data-chart=callers]').waitFor(WAIT);
  assert.match(page.url(), /view=sandwich/);
  await screenshot(page, 'sandwich');
  await page.getByRole('button', { name: 'Close callers and callees' }).click();
  await flameReady(page);
  assert.deepEqual(problems, []);
  await close();
});

test('an empty server says what to do, and the page fills itself', { skip: mockOnly }, async () => {
  mock.state.empty = true;
  const { page, problems, close } = await openPage('/');
  await page.getByRole('heading', { name: 'No samples yet' }).waitFor(WAIT);
  assert.match(await page.locator('.onboarding').innerText(), /sudo hearth up/);
  await screenshot(page, 'empty');
  mock.state.empty = false;
  await page.locator('tr[data-service]').first().waitFor(WAIT);
  assert.deepEqual(problems, []);
  await close();
});

test('errors are shown in the server’s words, and data stays while it is away', { skip: mockOnly }, async () => {
  const bad = await openPage(`/explore?q=${encodeURIComponent('{pod=~"(a"}')}`);
  await bad.page.getByRole('alert').waitFor(WAIT);
  assert.match(await bad.page.getByRole('alert').innerText(), /regular expression "\(a" is not valid/);
  await bad.close();

  const none = await openPage(`/explore?q=${encodeURIComponent('{service_name="nothing"}')}`);
  await none.page.getByRole('heading', { name: 'No samples in this range' }).waitFor(WAIT);
  await none.close();

  const gone = await openPage('/');
  await gone.page.locator('tr[data-service]').first().waitFor(WAIT);
  await gone.page.route('**/api/**', (route) => route.abort());
  await gone.page.getByText('Server not reachable').waitFor(WAIT);
  assert.ok((await gone.page.locator('tr[data-service]').count()) > 5);
  await gone.page.unroute('**/api/**');
  await gone.page.getByText('Server not reachable').waitFor({ state: 'detached', ...WAIT });
  await gone.close();
});

test('the theme follows the system, can be switched, and is remembered', { skip: mockOnly }, async () => {
  const { page, problems, close } = await openPage('/', { colorScheme: 'light' });
  await page.locator('tr[data-service]').first().waitFor(WAIT);
  assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
  await page.getByRole('button', { name: 'Switch to dark theme' }).click();
  assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
  await page.goto(`${url}/status`);
  await page.getByText('Ingest since start').waitFor(WAIT);
  assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
  assert.deepEqual(problems, []);
  await close();
});

test('a phone shows everything without sideways scrolling', { skip: mockOnly }, async () => {
  for (const path of ['/', CHECKOUT, '/status']) {
    const { page, problems, close } = await openPage(path, { viewport: { width: 390, height: 800 }, hasTouch: true });
    await page.locator('tr[data-service], .table-row, .fact').first().waitFor(WAIT);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${path} is ${overflow}px too wide`);
    assert.deepEqual(problems, []);
    await close();
  }
});
