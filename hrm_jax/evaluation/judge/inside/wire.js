// Values between an examiner and a candidate, as lines of JSON: plain data, never code.
// An answer cannot bring getters or its own toJSON: the examiner builds what it compares.

"use strict";

const fs = require("fs");

const MAX_LINE_BYTES = 1 << 26;

// A value as JSON data. Throws a TypeError for what has no plain form, such as a function.
function encode(value) {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (value === undefined) return { kind: "undefined", items: [] };
  if (typeof value === "bigint") return { kind: "bigint", items: [String(value)] };
  if (typeof value === "number") {
    const plain = Number.isFinite(value) && !Object.is(value, -0);
    return plain ? value : { kind: "number", items: [Object.is(value, -0) ? "-0" : String(value)] };
  }
  if (Array.isArray(value)) return Array.from(value, encode);
  if (value instanceof Map) return { kind: "map", items: Array.from(value, (pair) => pair.map(encode)) };
  if (value instanceof Set) return { kind: "set", items: Array.from(value, encode) };
  if (typeof value === "object") {
    const items = Object.entries(value).map(([name, item]) => [name, encode(item)]);
    return { kind: "object", items };
  }
  throw new TypeError(`expected a plain value, got a ${typeof value}`);
}

// The value that `encode` gave. Throws for anything else.
function decode(data) {
  if (Array.isArray(data)) return data.map(decode);
  if (data === null || typeof data !== "object") return data;
  switch (data.kind) {
    case "undefined": return undefined;
    case "bigint": return BigInt(data.items[0]);
    case "number": return Number(data.items[0]);
    case "map": return new Map(data.items.map((pair) => pair.map(decode)));
    case "set": return new Set(data.items.map(decode));
    case "object": {
      const value = {};
      for (const [name, item] of data.items) {
        const property = { value: decode(item), writable: true, enumerable: true, configurable: true };
        Object.defineProperty(value, String(name), property);
      }
      return value;
    }
    default: throw new TypeError(`unknown kind ${String(data.kind)}`);
  }
}

// Lines from one descriptor and to another.
class Lines {
  constructor(input, output) {
    this.input = input;
    this.output = output;
    this.rest = Buffer.alloc(0);
  }

  // The next line as JSON data; null at the end.
  read() {
    const chunks = [this.rest];
    let length = this.rest.length;
    let end = this.rest.indexOf(10);
    while (end < 0) {
      const chunk = Buffer.alloc(1 << 16);
      const count = fs.readSync(this.input, chunk);
      if (count === 0 || length + count > MAX_LINE_BYTES) return null;
      const found = chunk.subarray(0, count).indexOf(10);
      if (found >= 0) end = length + found;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
    const all = Buffer.concat(chunks);
    this.rest = all.subarray(end + 1);
    return JSON.parse(all.subarray(0, end).toString("utf8"));
  }

  write(data) {
    let rest = Buffer.from(JSON.stringify(data) + "\n");
    while (rest.length > 0) rest = rest.subarray(fs.writeSync(this.output, rest));
  }
}

module.exports = { encode, decode, Lines };
