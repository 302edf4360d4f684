import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { closingRun, unmatched } from "../../src/core/brackets";
import { fit } from "../../src/core/fit";

/** Returns the document after a suggestion is accepted. */
function accepted(before: string, suggestion: string, after: string): string {
  const fitted = fit(suggestion, before, after);
  return before + (fitted?.text ?? "") + after.slice(fitted?.replaced ?? 0);
}

const cases: readonly [before: string, suggestion: string, after: string, whole: string][] = [
  ["print(", "x)", ")\n", "print(x)\n"],
  ["print(", "foo(bar)", ")\n", "print(foo(bar))\n"],
  ["print(", "foo(bar))", ")\n", "print(foo(bar))\n"],
  ["print(", "x) + f(y", ")\n", "print(x) + f(y)\n"],
  ["if (a", "b) {", ")", "if (ab) {"],
  ["def f(", "a, b):", "):\n    pass", "def f(a, b):\n    pass"],
  ['print("', 'hello"', '")', 'print("hello")'],
  ['print("', 'hello", x)', '")', 'print("hello", x)'],
  ['    """', 'Returns the sum."""', '"""\n', '    """Returns the sum."""\n'],
  ["x = [", "1, 2]\ny = [3]", "]\n", "x = [1, 2]\ny = [3]\n"],
  ["a = 1\n", "b = 2\nc = 3", "\nc = 3\nd = 4\n", "a = 1\nb = 2\nc = 3\nd = 4\n"],
  ["a = 1\n", "b = 2\n\nc = 3\nd", "\n\nc = 3\nd = 4\n", "a = 1\nb = 2\n\nc = 3\nd = 4\n"],
  ["function f() {\n  ", "if (a) {\n  }\n}", "\n}\n", "function f() {\n  if (a) {\n  }\n}\n"],
  ["foo(\n    ", "bar(\n)", "\n)\n", "foo(\n    bar(\n)\n)\n"],
  ["# it doesn't\nf(", "x)", ")", "# it doesn't\nf(x)"],
  ["f('", "a')", "')", "f('a')"],
];

for (const [before, suggestion, after, whole] of cases) {
  test(`${JSON.stringify(before + "|" + after)} takes ${JSON.stringify(suggestion)}`, () => {
    assert.equal(accepted(before, suggestion, after), whole);
  });
}

test("what is there already leaves nothing to show", () => {
  assert.equal(fit("c = 3\n", "a = 1\n", "c = 3\n"), undefined);
  assert.equal(fit("  \n ", "a = 1\n", ""), undefined);
});

const word = fc.stringMatching(/^[a-z]{1,6}$/);
const line = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(" "));
const text = fc.array(line, { minLength: 1, maxLength: 4 }).map((lines) => lines.join("\n"));

test("no end of a suggestion repeats what follows", () => {
  fc.assert(
    fc.property(text, text, text, (before, suggestion, after) => {
      const found = fit(suggestion, before, after)?.text ?? "";
      for (let size = 1; size <= after.length; size += 1) {
        assert.ok(found === "" || !found.endsWith(after.slice(0, size)));
      }
    }),
  );
});

test("a suggestion that goes on into what follows ends before it", () => {
  fc.assert(
    fc.property(text, text, text, fc.nat(), (before, middle, after, cut) => {
      const repeated = after.slice(0, 1 + (cut % after.length));
      const whole = accepted(before + " ", `${middle};${repeated}`, after);
      assert.equal(whole, `${before} ${middle};${after}`);
    }),
  );
});

/** An expression, in pieces that the editor sees typed: words, brackets, strings. */
const { expression } = fc.letrec<{ expression: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    word,
    word.map((inside) => `"${inside}"`),
    fc.tuple(word, tie("expression")).map(([name, inside]) => `${name}(${inside})`),
    tie("expression").map((inside) => `[${inside}]`),
  ),
  expression: fc
    .array(tie("atom"), { minLength: 1, maxLength: 3 })
    .map((atoms) => atoms.join(", ")),
}));

/** Returns what an editor adds behind the cursor: the partners of what is open before it. */
function closedByEditor(before: string): string {
  const open: string[] = [];
  for (const character of before) {
    if (open.at(-1) === character) {
      open.pop();
    } else if (open.at(-1) !== '"') {
      open.push(...({ "(": ")", "[": "]", '"': '"' }[character] ?? ""));
    }
  }
  return open.reverse().join("");
}

test("brackets and quotes that the editor closed are never doubled", () => {
  fc.assert(
    fc.property(expression, fc.nat(), (whole, place) => {
      const before = whole.slice(0, place % whole.length);
      const after = closedByEditor(before);
      assert.equal(accepted(before, whole.slice(before.length), after), whole);
    }),
    { numRuns: 1000 },
  );
});

test("a suggestion that leaves the editor's brackets to close keeps them", () => {
  fc.assert(
    fc.property(expression, expression, (outer, inner) => {
      assert.equal(accepted(`f(${outer}, `, inner, ")\n"), `f(${outer}, ${inner})\n`);
    }),
  );
});

test("expressions are balanced, and each bracket taken away is missed", () => {
  fc.assert(
    fc.property(expression, (whole) => {
      assert.equal(unmatched(whole), 0);
      assert.equal(unmatched(`(${whole}`), 1);
      assert.equal(unmatched(`${whole}]`), 1);
    }),
  );
  assert.equal(unmatched("'it\\'s' + don't"), 0);
  assert.equal(unmatched('"""a ( " b"""'), 0);
  assert.equal(unmatched("'open\n)"), 2);
  assert.equal(closingRun(')]"; x'), ')]"');
});

test("what repeats the text behind the cursor twice, with white space between, is cut twice", () => {
  assert.equal(fit("a a", "x = ", "a"), undefined);
  assert.deepEqual(fit("b a a", "x = ", "a"), { text: "b", replaced: 0 });
});
