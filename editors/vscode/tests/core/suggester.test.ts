import assert from "node:assert/strict";
import { test } from "node:test";
import { SuggestionCache } from "../../src/core/cache";
import type { Filling, Hole, Server } from "../../src/core/server";
import { Suggester, holeOf } from "../../src/core/suggester";
import { budgetOf } from "../../src/core/window";

const options = { budget: budgetOf(1000, true), maxTokens: 8, maxLines: 2, maxMilliseconds: 100 };
const never = new AbortController().signal;
const place = {
  document: "a",
  before: "x = 1\n",
  after: "\n",
  context: [],
  filename: "",
  project: "",
};

/** A server that writes pieces, other ones for each seed; notes what is asked and when it is left. */
function writing(pieces: (seed: number) => string[]) {
  const noted: { fillings: Filling[]; written: string[]; left: number } = {
    fillings: [],
    written: [],
    left: 0,
  };
  const fill = async function* (_: Hole, filling: Filling): AsyncGenerator<string> {
    noted.fillings.push(filling);
    try {
      for (const piece of pieces(filling.seed)) {
        noted.written.push(piece);
        yield await Promise.resolve(piece);
      }
    } finally {
      noted.left += 1;
    }
  };
  return { server: { fill } as unknown as Server, noted };
}

test("writing is over as soon as a suggestion is whole", async () => {
  const { server, noted } = writing(() => ["1\n", "y = 2", "\nz", " = 3"]);
  const suggester = new Suggester(new SuggestionCache(9));
  assert.deepEqual(await suggester.likeliest(server, place, options, never), ["1\ny = 2"]);
  assert.deepEqual(noted.written, ["1\n", "y = 2", "\nz"]);
  assert.equal(noted.left, 1);
  assert.deepEqual(noted.fillings, [
    { maxTokens: 8, maxMilliseconds: 100, oneLine: false, temperature: 0, seed: 0 },
  ]);
});

test("who pauses within a line waits for the rest of it alone", async () => {
  const { server, noted } = writing(() => ["1\n", "y = 2\nz"]);
  const suggester = new Suggester(new SuggestionCache(9));
  const begun = { ...place, before: "x = " };
  assert.deepEqual(await suggester.likeliest(server, begun, options, never), ["1"]);
  const other = { ...place, before: "z = " };
  assert.deepEqual(await suggester.several(server, other, options, 1, never), ["1\ny = 2"]);
  const anyTime = { ...options, maxMilliseconds: 0 };
  assert.deepEqual(await suggester.likeliest(server, begun, anyTime, never), ["1\ny = 2"]);
  assert.deepEqual(
    noted.fillings.map(({ oneLine }) => oneLine),
    [true, false, false],
  );
});

test("within a line a suggestion is the rest of one", async () => {
  const { server } = writing(() => ["1", "\n2"]);
  const within = { ...place, after: ")\n" };
  const suggester = new Suggester(new SuggestionCache(9));
  assert.deepEqual(await suggester.likeliest(server, within, options, never), ["1"]);
});

test("several are what is known, and others that are drawn", async () => {
  const { server, noted } = writing((seed) => [["1", "2", "2", " "][seed] ?? ""]);
  const suggester = new Suggester(new SuggestionCache(9));
  await suggester.likeliest(server, place, options, never);
  assert.deepEqual(await suggester.several(server, place, options, 3, never), ["1", "2"]);
  assert.deepEqual(
    noted.fillings.map(({ temperature }) => temperature > 0),
    [false, true, true],
  );
  const fresh = new Suggester(new SuggestionCache(9));
  assert.deepEqual(await fresh.several(server, place, options, 4, never), ["1", "2"]);
  assert.deepEqual(fresh.known({ ...place, before: "x = 1\n1" }), undefined);
  assert.deepEqual(fresh.known(place), ["1", "2"]);
});

test("a hole has the parts of other files", () => {
  const context = [{ filename: "b.py", text: "y" }];
  const where = { filename: "a.py", project: "demo" };
  assert.deepEqual(holeOf({ ...place, ...where, context }, options.budget), {
    prefix: "x = 1\n",
    suffix: "\n",
    context,
    ...where,
  });
});
