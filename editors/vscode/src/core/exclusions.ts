/** Decides which files are never sent. */

import ignore, { type Ignore } from "ignore";

/** The rules of a `.gitignore`, and the folder that it stands in. */
export interface IgnoreFile {
  /** Relative to the top, without a slash at its end; empty for the top itself. */
  readonly folder: string;
  readonly rules: string;
}

/**
 * Returns whether a file is excluded by patterns, or ignored as git does: the deepest `.gitignore`
 * decides, but for what is in a folder that is ignored.
 *
 * @param path of the file, relative to the top, with slashes.
 * @param ignoreFiles those of the folders that it is in.
 * @param patterns in the form of a `.gitignore`'s, whatever that says.
 */
export function isExcluded(
  path: string,
  ignoreFiles: readonly IgnoreFile[],
  patterns: readonly string[],
): boolean {
  return matcher(patterns.join("\n")).ignores(path) || isIgnored(path, ignoreFiles);
}

function isIgnored(path: string, ignoreFiles: readonly IgnoreFile[]): boolean {
  const parts = path.split("/");
  const deepestLast = [...ignoreFiles].sort((a, b) => a.folder.length - b.folder.length);
  // Folders first: what is in one that is ignored cannot be taken back.
  return parts.some((_, index) => {
    const isFile = index === parts.length - 1;
    const part = parts.slice(0, index + 1).join("/") + (isFile ? "" : "/");
    return decides(part, deepestLast);
  });
}

/** Returns whether the last rule about a file or folder, which has a slash at its end, ignores it. */
function decides(part: string, deepestLast: readonly IgnoreFile[]): boolean {
  let ignored = false;
  for (const { folder, rules } of deepestLast) {
    const top = folder === "" ? "" : `${folder}/`;
    if (!part.startsWith(top) || part === top) {
      continue;
    }
    const found = matcher(rules).test(part.slice(top.length));
    if (found.ignored || found.unignored) {
      ignored = found.ignored;
    }
  }
  return ignored;
}

const matchers = new Map<string, Ignore>();
const MOST_MATCHERS = 100;

function matcher(rules: string): Ignore {
  let found = matchers.get(rules);
  if (found === undefined) {
    if (matchers.size >= MOST_MATCHERS) {
      matchers.clear();
    }
    found = ignore().add(rules);
    matchers.set(rules, found);
  }
  return found;
}
