// Prints what the page weighs on the wire and fails if it outgrows its budget.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BUDGET_KB = 70;
const LIMIT_KB = 90;

let total = 0;
for (const file of ['index.html', 'assets/app.js', 'assets/app.css']) {
  const bytes = readFileSync(new URL(`../dist/${file}`, import.meta.url));
  const kilobytes = gzipSync(bytes, { level: 9 }).length / 1024;
  total += kilobytes;
  console.log(`${file.padEnd(16)} ${(bytes.length / 1024).toFixed(1).padStart(7)} KB ${kilobytes.toFixed(1).padStart(6)} KB gzip`);
}
console.log(`${'all'.padEnd(16)} ${''.padStart(10)} ${total.toFixed(1).padStart(6)} KB gzip, budget ${BUDGET_KB}`);
if (total > LIMIT_KB) {
  console.error(`the page weighs ${total.toFixed(1)} KB, more than the limit of ${LIMIT_KB} KB`);
  process.exit(1);
}
