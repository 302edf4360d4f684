import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SuggestionCache } from "../../src/core/cache";
import { chunksOf, linesAround } from "../../src/core/chunks";
import { importedNames, isLeftOut, patternOf } from "../../src/core/imports";
import { shaped } from "../../src/core/lines";
import { Offer } from "../../src/core/outcome";
import { around, beside, budgetOf } from "../../src/core/window";

test("what is typed of a suggestion leaves its rest, without a request", () => {
  const cache = new SuggestionCache(10);
  cache.set("a", "x = ", "\n", ["foo(bar)", "four"]);
  assert.deepEqual(cache.get("a", "x = ", "\n"), ["foo(bar)", "four"]);
  assert.deepEqual(cache.get("a", "x = fo", "\n"), ["o(bar)", "ur"]);
  assert.deepEqual(cache.get("a", "x = foo", "\n"), ["(bar)"]);
  assert.equal(cache.get("a", "x = foo(bar)", "\n"), undefined);
  assert.equal(cache.get("a", "x = g", "\n"), undefined);
  assert.equal(cache.get("b", "x = ", "\n"), undefined);
  assert.equal(cache.get("a", "x = ", "\ny"), undefined);
});

test("that nothing is to be suggested is remembered, too", () => {
  const cache = new SuggestionCache(10);
  cache.set("a", "x", "", []);
  assert.deepEqual(cache.get("a", "x", ""), []);
});

test("what was not asked for longest is forgotten", () => {
  const cache = new SuggestionCache(2);
  cache.set("a", "1", "", ["x"]);
  cache.set("a", "2", "", ["x"]);
  cache.get("a", "1", "");
  cache.set("a", "3", "", ["x"]);
  assert.deepEqual(cache.get("a", "1", ""), ["x"]);
  assert.equal(cache.get("a", "2", ""), undefined);
  cache.clear();
  assert.equal(cache.get("a", "3", ""), undefined);
});

const lines = fc
  .array(fc.stringMatching(/^[a-z ]{0,20}$/), { minLength: 1, maxLength: 60 })
  .map((all) => all.join("\n"));

test("a window is within its budget and next to the cursor", () => {
  fc.assert(
    fc.property(lines, lines, fc.integer({ min: 1, max: 400 }), (before, after, characters) => {
      const budget = budgetOf(characters, false);
      const found = around(before, after, budget);
      assert.ok(before.endsWith(found.prefix) && found.prefix.length <= budget.prefix);
      assert.ok(after.startsWith(found.suffix) && found.suffix.length <= budget.suffix);
    }),
  );
});

test("a prefix goes on from what the server has read, but for one jump in half of its budget", () => {
  const budget = budgetOf(1200, true);
  assert.deepEqual(budget, { prefix: 750, suffix: 50, context: 400 });
  const text = Array.from({ length: 200 }, (_, at) => `line ${at.toString()}\n`).join("");
  let jumps = 0;
  let last = "";
  for (let end = 1; end <= text.length; end += 1) {
    const { prefix } = around(text.slice(0, end), "", budget);
    assert.ok(end < 400 || prefix.length >= 350);
    jumps += prefix.startsWith(last) ? 0 : 1;
    last = prefix;
  }
  assert.ok(jumps <= text.length / 370, jumps.toString());
});

test("what parts of files leave of their budget is the prefix's", () => {
  const budget = budgetOf(2400, true);
  assert.equal(beside(budget, []).prefix, 2300);
  assert.equal(beside(budget, [{ filename: "a.py", text: "x".repeat(396) }]).prefix, 1900);
  assert.equal(beside(budget, [{ filename: "a.py", text: "x".repeat(900) }]).prefix, 1500);
});

test("imports name files in many languages", () => {
  const text = 'import os.path\nfrom .a import b\n#include "c/d.h"\nx = require("./f")\ny = z\n';
  assert.deepEqual(
    importedNames(text).filter((name) => name.length < 3),
    ["a", "b", "c", "d", "f", "h", "os", "x"],
  );
  assert.deepEqual(importedNames("x = 1\n"), []);
  assert.equal(patternOf([], "py"), undefined);
  assert.ok(isLeftOut("node_modules/a.js") && isLeftOut("a/.venv/b.py"));
  assert.ok(!isLeftOut("a/build.py") && !isLeftOut(".a.py"));
  assert.equal(patternOf(["a"], "py"), "**/{a.py,a/__init__.py,a/index.py,a/mod.py}");
});

test("parts of files are whole lines around where somebody looked, within the budget", () => {
  assert.equal(linesAround("a\nb\nc\nd\ne", 2, 6), "b\nc\nd");
  assert.equal(linesAround("a\nb", 9, 100), "a\nb");
  assert.equal(linesAround("long line", 0, 3), "");
  fc.assert(
    fc.property(lines, fc.nat(80), fc.nat(400), (text, line, characters) => {
      const found = linesAround(text, line, characters);
      assert.ok(found.length <= characters && `\n${text}\n`.includes(found));
    }),
  );
});

test("the most recent file is the last, and short ones are left out", () => {
  const text = "x = 1\n".repeat(40);
  const files = ["new.py", "old.py", "older.py"].map((filename) => ({ filename, text, line: 0 }));
  const chunks = chunksOf([...files.slice(0, 1), { ...files[1]!, text: "y" }, files[2]!], 400, 3);
  assert.deepEqual(
    chunks.map((chunk) => chunk.filename),
    ["older.py", "new.py"],
  );
  const total = chunks.reduce((sum, { filename, text }) => sum + filename.length + text.length, 0);
  assert.ok(total <= 400);
  assert.deepEqual(chunksOf(files, 0, 3), []);
});

test("a suggestion ends where its lines, its paragraph or its block do", () => {
  const many = { maxLines: 3, indentation: 4 };
  assert.deepEqual(shaped("a\n    b\n    c\n    d", many), { text: "a\n    b\n    c", done: true });
  assert.deepEqual(shaped("a\n    b", many), { text: "a\n    b", done: false });
  assert.deepEqual(shaped("\n    b\n\n    c", many), { text: "\n    b", done: true });
  assert.deepEqual(shaped("a\ndef f", many), { text: "a", done: true });
  assert.deepEqual(shaped("a(\n)\n", many), { text: "a(\n)\n", done: false });
  assert.deepEqual(shaped("\n\n", many), { text: "", done: false });
  const one = { maxLines: 1, indentation: 0 };
  assert.deepEqual(shaped("a\n", one), { text: "a", done: true });
  assert.deepEqual(shaped("\na", one), { text: "", done: true });
  assert.deepEqual(shaped("\n", one), { text: "", done: true });
  assert.deepEqual(shaped("  a", one), { text: "  a", done: false });
});

test("an offer that is typed to its end is accepted", () => {
  const offer = new Offer("foo(x)", 10);
  assert.equal(offer.change({ offset: 10, removed: 0, inserted: "fo" }), undefined);
  assert.equal(offer.change({ offset: 12, removed: 0, inserted: "o" }), undefined);
  // The editor closes the bracket that is typed.
  assert.equal(offer.change({ offset: 13, removed: 0, inserted: "()" }), undefined);
  assert.deepEqual(offer.change({ offset: 14, removed: 1, inserted: "x)" }), {
    accepted: true,
    taken: 6,
  });
});

test("an offer that is left, or typed otherwise, is rejected from there on", () => {
  assert.deepEqual(new Offer("foo", 1).leave(), { accepted: false, taken: 0 });
  const offer = new Offer("foo", 1);
  offer.change({ offset: 1, removed: 0, inserted: "f" });
  assert.deepEqual(offer.change({ offset: 2, removed: 0, inserted: "x" }), {
    accepted: false,
    taken: 1,
  });
  assert.deepEqual(new Offer("foo", 1).change({ offset: 0, removed: 1, inserted: "" }), {
    accepted: false,
    taken: 0,
  });
});
