/** Fits a suggestion into the text around the cursor, so that nothing stands there twice. */

import { closingRun, unmatched } from "./brackets";

/** A suggestion as it can be shown. */
export interface Fitted {
  /** What is inserted. */
  readonly text: string;
  /** Number of characters behind the cursor, on its line, that the text takes the place of. */
  readonly replaced: number;
}

/**
 * Returns a suggestion without what it repeats of the text behind the cursor.
 *
 * Of all ways to cut what is repeated, and to write over brackets that the editor closed by itself,
 * it takes one that leaves the fewest brackets without a partner.
 *
 * @param suggestion what the model wrote.
 * @param before the text before the cursor, or the last part of it.
 * @param after the text behind the cursor, or the first part of it.
 * @returns undefined where nothing is left to show.
 */
export function fit(suggestion: string, before: string, after: string): Fitted | undefined {
  let best: Fitted | undefined;
  let bestCount = Infinity;
  for (const replaced of writtenOver(after)) {
    const rest = after.slice(replaced);
    for (const text of cuts(suggestion, rest)) {
      if (!isSubsequence(after.slice(0, replaced), text)) {
        continue;
      }
      const count = unmatched(before + text + rest);
      if (count < bestCount) {
        best = { text, replaced };
        bestCount = count;
      }
    }
  }
  return best === undefined || best.text.trim() === "" ? undefined : best;
}

/** Returns how many characters behind the cursor could be written over, the fewest first. */
function writtenOver(after: string): number[] {
  return Array.from({ length: closingRun(after).length + 1 }, (_, count) => count);
}

/** Returns a suggestion without each end of it that repeats what follows, the shortest first. */
function cuts(suggestion: string, after: string): string[] {
  const found = new Set<string>();
  const waiting = [suggestion.trimEnd()];
  for (let text = waiting.pop(); text !== undefined; text = waiting.pop()) {
    if (found.has(text)) {
      continue;
    }
    found.add(text);
    // White space before what was cut goes too, after which the end may repeat something again.
    waiting.push(text.slice(0, repeatedLines(text, after)).trimEnd());
    for (let size = 1; size <= Math.min(text.length, after.length); size += 1) {
      if (text.endsWith(after.slice(0, size))) {
        waiting.push(text.slice(0, -size).trimEnd());
      }
    }
  }
  return [...found].sort((one, other) => one.length - other.length);
}

/** Returns where the lines at the end of a suggestion begin that are the next of the document. */
function repeatedLines(suggestion: string, after: string): number {
  const [restOfLine = "", ...following] = after.split("\n");
  const next = following.map((line) => line.trim()).filter((line) => line !== "");
  if (restOfLine.trim() !== "" || next.length === 0) {
    return suggestion.length;
  }
  let at = suggestion.indexOf("\n");
  while (at !== -1) {
    const lines = suggestion.slice(at).split("\n");
    const written = lines.map((line) => line.trim()).filter((line) => line !== "");
    if (written.length > 0 && begins(next, written)) {
      return at;
    }
    at = suggestion.indexOf("\n", at + 1);
  }
  return suggestion.length;
}

/** Returns whether lines begin with others, of which the last may be cut off. */
function begins(lines: readonly string[], others: readonly string[]): boolean {
  const last = others.length - 1;
  return others.every((other, index) => {
    const line = lines[index] ?? "";
    return index < last ? line === other : other !== "" && line.startsWith(other);
  });
}

function isSubsequence(part: string, whole: string): boolean {
  let at = 0;
  for (const character of part) {
    at = whole.indexOf(character, at) + 1;
    if (at === 0) {
      return false;
    }
  }
  return true;
}
