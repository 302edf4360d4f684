// Runs the tests of a problem against a program in another sandbox, and reports: as examiner.py,
// with one function as the program's. Usage: examiner.js REQUESTS ANSWERS, the exam on standard
// input, the report on standard output.

"use strict";

const fs = require("fs");
const vm = require("vm");
const { Lines, encode, decode } = require("./wire.js");

const lines = new Lines(Number(process.argv[3]), Number(process.argv[2]));

function ask(request) {
  let answer = null;
  try {
    lines.write(request);
    answer = lines.read();
  } catch (error) {
    report(`the program spoke to the examiner: ${error}`);
  }
  if (answer === null) report("the program ended during the tests");
  if (typeof answer.error === "string") throw new Error(answer.error);
  try {
    return decode(answer.value);
  } catch (error) {
    report(`the program spoke to the examiner: ${error}`);
  }
}

// Says that the exam is failed, or with no reason that it is passed, and ends.
function report(reason) {
  const passed = reason === undefined;
  fs.writeSync(1, JSON.stringify({ passed, detail: passed ? "" : reason.slice(0, 500) }) + "\n");
  process.exit(0);
}

const exam = JSON.parse(fs.readFileSync(0, "utf8"));
const [name] = exam.remote;
console.log = () => {};
console.assert = (condition) => {
  if (!condition) throw new Error("an assertion is false");
};
try {
  ask({ do: "load", items: [exam.program, name] });
  // The tests see what the reference defines, but for the one name that is the program's.
  const tests = `(function (${name}) {${exam.tests}\n})(remote)`;
  const script = `(function (require, remote) {${exam.reference}\n;${tests}\n})`;
  const remote = (...items) => ask({ do: "call", items: items.map(encode) });
  vm.runInThisContext(script, { filename: "tests.js" })(require, remote);
} catch (error) {
  report(String(error));
}
report();
