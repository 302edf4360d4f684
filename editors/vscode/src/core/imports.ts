/** Finds what a file imports, in the languages that most files are in. */

const IMPORT = /^\s*(?:import|from|#\s*include|use|using|require|package)\b|\brequire\(/;
const IDENTIFIER = /[\p{L}_$][\p{L}\p{N}_$]*/gu;
/** Files that stand for their folder. */
const OF_FOLDERS = ["__init__", "index", "mod"];

const LEFT_OUT = [
  "node_modules",
  "__pycache__",
  "venv",
  "build",
  "dist",
  "target",
  "site-packages",
];

/** A pattern of the files in folders that are not the project's own. */
export const LEFT_OUT_PATTERN = `**/{.*,${LEFT_OUT.join(",")}}/**`;

/** Returns whether a path within a project is in such a folder. */
export function isLeftOut(path: string): boolean {
  const folders = path.split("/").slice(0, -1);
  return folders.some((name) => name.startsWith(".") || LEFT_OUT.includes(name));
}

/** Returns the names in a text's lines of imports, sorted. */
export function importedNames(text: string): string[] {
  const lines = text.split("\n").filter((line) => IMPORT.test(line));
  return [...new Set(lines.join("\n").match(IDENTIFIER) ?? [])].sort();
}

/** Returns a pattern of the files of an ending that some names may name, undefined for no name. */
export function patternOf(names: readonly string[], ending: string): string | undefined {
  const own = names.map((name) => `${name}.${ending}`);
  const folders = names.flatMap((name) => OF_FOLDERS.map((one) => `${name}/${one}.${ending}`));
  return names.length === 0 ? undefined : `**/{${[...own, ...folders].join(",")}}`;
}
