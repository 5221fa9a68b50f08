// JavaScript that is interpreted, then compiled; with regular expressions, JSON, sorting and native modules.
"use strict";
const crypto = require("crypto");
const zlib = require("zlib");

function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

function words(count) {
  const seen = new Map();
  for (let i = 0; i < count; i++) {
    const word = "w" + ((i * 7919) % 5003);
    seen.set(word, (seen.get(word) || 0) + 1);
  }
  return [...seen].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0];
}

class Shape { area() { return 0; } }
class Square extends Shape { constructor(a) { super(); this.a = a; } area() { return this.a * this.a; } }
class Circle extends Shape { constructor(r) { super(); this.r = r; } area() { return this.r * this.r * 3; } }

const text = Array.from({ length: 60000 }, (_, i) => `word${i}, number ${i * 7919}.`).join(" ");
for (let round = 0; round < 4; round++) {
  console.log(fib(29), words(400000));
  console.log([...text.matchAll(/(\w+)(\d)[, ]+number (\d+)\./g)].length);
  console.log(JSON.parse(JSON.stringify(Array.from({ length: 60000 }, (_, i) => ({ n: i, t: "t" + i })))).length);
  const shapes = Array.from({ length: 200000 }, (_, i) => (i % 2 ? new Square(i) : new Circle(i)));
  console.log(shapes.reduce((sum, shape) => sum + shape.area(), 0));
  console.log(crypto.createHash("sha256").update(text.repeat(8)).digest("hex"));
  console.log(zlib.gzipSync(Buffer.from(text)).length);
}
