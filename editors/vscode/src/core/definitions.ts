/** Finds what somebody wants written and verified, in Python. */

import { indentation } from "./lines";
import type { Wanted } from "./server";

/** What is wanted, and where the answer belongs. */
export interface Target {
  readonly wanted: Wanted;
  /** The first line that the answer takes the place of. */
  readonly begin: number;
  /** The line behind the last one; `begin` where it takes the place of none. */
  readonly end: number;
  /** White space that the answer's lines begin with. */
  readonly margin: string;
}

const DEFINITION = /^[ \t]*(?:async[ \t]+)?def[ \t]/;
const TESTS = /^[ \t]*(?:(?:async[ \t]+)?def[ \t]+test|class[ \t]+\w*Test|assert\b)/m;
const BUILTIN =
  /^(?:abs|all|any|bool|bytes|dict|enumerate|float|int|isinstance|iter|len|list|map|max|min|next|print|range|repr|reversed|round|set|sorted|str|sum|super|tuple|type|zip|[A-Z]\w*Error|Exception)$/;
const IMPORT = /^(?:import|from)[ \t]/;
const DOCSTRING = /^[ \t]*[rRuU]?("""|''')/;

/**
 * Returns what is wanted of a selection: the code that passes the tests in it, or the body of the
 * function whose docstring is in it or around it. Undefined where there is neither.
 *
 * @param text of the document.
 * @param first line of the selection, from 0.
 * @param last line of it; lines are taken whole.
 */
export function targetOf(text: string, first: number, last: number): Target | undefined {
  const lines = text.split("\n");
  const selected = lines.slice(first, last + 1).join("\n");
  if (TESTS.test(selected)) {
    const margin = marginOf(selected);
    return { wanted: ofTests(selected, margin), begin: first, end: first, margin };
  }
  return ofDocstring(lines, first, last);
}

/** Returns the code of an answer: its blocks of Python, or of no language, or all of it. */
export function codeIn(answer: string): string {
  const fenced =
    /^[ \t]*(```+|~~~+)[ \t]*(\w*)[^\n]*\n([\s\S]*?)(?:^[ \t]*\1[ \t]*$|$(?![\s\S]))/gm;
  const blocks = [...answer.matchAll(fenced)].map(([, , kind = "", code = ""]) => ({
    kind: kind.toLowerCase(),
    code,
  }));
  for (const kinds of [["python", "py", "python3"], [""]]) {
    const found = blocks.filter((block) => kinds.includes(block.kind));
    if (found.length > 0) {
      return found.map((block) => block.code).join("\n");
    }
  }
  return answer;
}

/** Returns the text that an answer puts into the document, which ends with a line's end. */
export function insertion(target: Target, answer: string): string {
  const code = target.wanted.kind === "tests" ? `${codeIn(answer).trim()}\n\n` : answer.trimEnd();
  const lines = code.split("\n").map((line) => (line === "" ? "" : target.margin + line));
  return `${lines.join("\n")}\n`;
}

function ofTests(selected: string, margin: string): Wanted {
  const tests = without(margin, selected);
  const names = namesCalled(tests).map((name) => `\`${name}\``);
  const what =
    names.length === 0 ? "the Python code that is tested" : `in Python ${names.join(", ")}`;
  const instruction =
    `Write ${what}. These tests have to pass:\n\n\`\`\`python\n${tests}\n\`\`\`\n\n` +
    "Answer with the code alone, in one block, without the tests.";
  return { kind: "tests", instruction, tests };
}

/** Returns what tests call that is neither theirs, nor Python's own, nor an attribute. */
function namesCalled(tests: string): string[] {
  const called = [...tests.matchAll(/(?<![\w.])([A-Za-z_]\w*)\(/g)].map(([, name = ""]) => name);
  const defined = [...tests.matchAll(/\b(?:def|class)[ \t]+(\w+)/g)].map(([, name = ""]) => name);
  const others = called.filter((name) => !defined.includes(name) && !BUILTIN.test(name));
  return [...new Set(others)];
}

function ofDocstring(lines: readonly string[], first: number, last: number): Target | undefined {
  const definition = definitionAt(lines, first, last);
  const docstring = definition === undefined ? undefined : docstringEnd(lines, definition);
  if (definition === undefined || docstring === undefined) {
    return undefined;
  }
  // What is selected before the function is what it needs.
  const head = lines.slice(Math.min(first, definition), docstring + 1).join("\n");
  const margin = marginOf(head);
  const imports = lines.slice(0, definition).filter((line) => IMPORT.test(line));
  const others = imports.filter((line) => !head.includes(line));
  const prompt = [...others, without(margin, head), ""].join("\n");
  const begin = docstring + 1;
  const end = bodyEnd(lines, begin, indentation(lines[definition] ?? ""));
  return { wanted: { kind: "docstring", prompt }, begin, end, margin };
}

/** Returns the line behind the last one of a block whose head has an indentation. */
function bodyEnd(lines: readonly string[], begin: number, column: number): number {
  const isOutside = (line: string): boolean => line.trim() !== "" && indentation(line) <= column;
  const outside = lines.findIndex((line, at) => at >= begin && isOutside(line));
  let end = outside === -1 ? lines.length : outside;
  while (end > begin && (lines[end - 1] ?? "").trim() === "") {
    end -= 1;
  }
  return end;
}

/** Returns the line of the last function that begins in a selection, or the one around it. */
function definitionAt(lines: readonly string[], first: number, last: number): number | undefined {
  const selected = lines.slice(0, last + 1).map((line) => line.trim() !== "");
  const lastWritten = lines[selected.lastIndexOf(true)] ?? "";
  for (let at = Math.min(last, lines.length - 1); at >= 0; at -= 1) {
    const line = lines[at] ?? "";
    const isAround = at >= first || indentation(line) < indentation(lastWritten);
    if (DEFINITION.test(line) && isAround) {
      return at;
    }
  }
  return undefined;
}

/** Returns the last line of a function's docstring. */
function docstringEnd(lines: readonly string[], definition: number): number | undefined {
  let begin = definition + 1;
  // The parameters may take several lines.
  while (begin < lines.length && !DOCSTRING.test(lines[begin] ?? "")) {
    const endsHead = /:[ \t]*(?:#.*)?$/.test(lines[begin - 1] ?? "");
    if (endsHead && (lines[begin] ?? "").trim() !== "") {
      return undefined;
    }
    begin += 1;
  }
  const quote = DOCSTRING.exec(lines[begin] ?? "")?.[1];
  if (quote === undefined) {
    return undefined;
  }
  const [, ...rest] = (lines[begin] ?? "").split(quote);
  if (rest.length > 1) {
    return begin;
  }
  const end = lines.findIndex((line, index) => index > begin && line.includes(quote));
  return end === -1 ? undefined : end;
}

/** Returns the white space that all lines with text begin with. */
function marginOf(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const least = Math.min(...lines.map(indentation));
  return lines.length === 0 ? "" : (lines[0] ?? "").slice(0, least);
}

function without(margin: string, text: string): string {
  const lines = text.split("\n");
  return lines.map((line) => line.slice(margin.length)).join("\n");
}
