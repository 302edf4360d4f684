// Runs a program that a model wrote and calls its function as the examiner asks, a line at a time.
// Nothing here is trusted: all that the program can gain is to send other answers, or none.

"use strict";

const crypto = require("crypto");
const vm = require("vm");
const { Lines, encode, decode } = require("./wire.js");

// The one package that problems of HumanEvalPack import.
const md5 = (text) => crypto.createHash("md5").update(text).digest("hex");
globalThis.require = (name) => (name === "js-md5" ? md5 : require(name));

const lines = new Lines(Number(process.argv[2]), Number(process.argv[3]));
let subject;

function serve(request) {
  if (request.do === "call") return subject(...request.items.map(decode));
  const [program, name] = request.items;
  subject = vm.runInThisContext(`${program}\n;${name}`, { filename: "candidate.js" });
  return typeof subject;
}

for (let request = lines.read(); request !== null; request = lines.read()) {
  let answer;
  try {
    answer = { value: encode(serve(request)) };
  } catch (error) {
    answer = { error: String(error).slice(0, 500) };
  }
  lines.write(answer);
}
process.exit(0);
