import assert from "node:assert/strict";
import { test } from "node:test";
import { codeIn, insertion, targetOf } from "../../src/core/definitions";

const module = `import math

LIMIT = 3


def double(n):
    """
    >>> double(2)
    4
    """
    pass


class Box:
    def area(
        self,
        side: int,
    ) -> int:
        """Returns the area."""

    def other(self):
        return 1
`;
const lines = module.split("\n");
const at = (text: string): number => lines.findIndex((line) => line.includes(text));

test("a docstring asks for its function's body, after the module's imports", () => {
  for (const line of [at("def double"), at(">>> double"), at("pass")]) {
    const target = targetOf(module, line, line);
    assert.deepEqual(target?.wanted, {
      kind: "docstring",
      prompt: 'import math\ndef double(n):\n    """\n    >>> double(2)\n    4\n    """\n',
    });
    assert.deepEqual([target.begin, target.end], [at("pass"), at("pass") + 1]);
  }
});

test("what is selected before the function is sent with it", () => {
  const target = targetOf(module, at("LIMIT"), at("pass"));
  assert.ok(target?.wanted.kind === "docstring");
  assert.ok(target.wanted.prompt.startsWith("import math\nLIMIT = 3\n\n\ndef double"));
});

test("a method's body has the method's margin", () => {
  const target = targetOf(module, at("Returns"), at("Returns"));
  assert.ok(target?.wanted.kind === "docstring");
  assert.ok(target.wanted.prompt.startsWith("import math\ndef area(\n    self,"));
  assert.equal(
    insertion(target, "    x = 1\n\n    return x\n"),
    "        x = 1\n\n        return x\n",
  );
  assert.deepEqual([target.begin, target.end], [at("Returns") + 1, at("Returns") + 1]);
});

test("tests ask for the code that passes them, which goes before them", () => {
  const text = "x = 1\ndef test_double():\n    assert double(2) == 4\n";
  const target = targetOf(text, 1, 2);
  assert.ok(target?.wanted.kind === "tests");
  assert.equal(target.wanted.tests, "def test_double():\n    assert double(2) == 4");
  assert.ok(target.wanted.instruction.startsWith("Write in Python `double`. "));
  assert.ok(target.wanted.instruction.includes(target.wanted.tests));
  assert.deepEqual([target.begin, target.end], [1, 1]);
  const answer = "Here:\n```python\ndef double(n):\n    return 2 * n\n```\nDone.";
  assert.equal(insertion(target, answer), "def double(n):\n    return 2 * n\n\n\n");
});

test("what tests call of their own, of Python or of an object is not asked for", () => {
  const tests =
    "def test_a(x):\n    assert sorted(f(x)) == g(x.h(1))\n    assert f(2)\n    test_b()";
  const wanted = targetOf(`${tests}\ndef test_b(): pass`, 0, 4)?.wanted;
  assert.ok(
    wanted?.kind === "tests" && wanted.instruction.startsWith("Write in Python `f`, `g`. "),
  );
  const none = targetOf("assert x == 1", 0, 0)?.wanted;
  assert.ok(none?.kind === "tests" && none.instruction.startsWith("Write the Python code "));
});

test("nothing is wanted where there is neither docstring nor test", () => {
  assert.equal(targetOf(module, at("LIMIT"), at("LIMIT")), undefined);
  assert.equal(targetOf(module, at("return 1"), at("return 1")), undefined);
  assert.equal(targetOf('def f(x):\n    """open', 0, 0), undefined);
  assert.equal(targetOf("", 0, 0), undefined);
});

test("the code of an answer is its blocks of Python, or of no language, or all of it", () => {
  assert.equal(codeIn("x = 1"), "x = 1");
  assert.equal(codeIn("a\n```\nx\n```\nb"), "x\n");
  assert.equal(codeIn("```py\nx\n```\n```sh\nls\n```\n~~~python\ny"), "x\n\ny");
});
