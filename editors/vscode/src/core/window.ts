/** Chooses what of a document is sent, so that what the server has read stays of use. */

import type { Chunk } from "./chunks";

/** The text around the cursor. */
export interface Around {
  readonly prefix: string;
  readonly suffix: string;
}

/** How many characters are sent. */
export interface Budget {
  readonly prefix: number;
  readonly suffix: number;
  /** Of all parts of other files together. */
  readonly context: number;
}

/** Returns a budget whose prefix has what parts of other files leave of theirs. */
export function beside(budget: Budget, chunks: readonly Chunk[]): Budget {
  const used = chunks.reduce((sum, { filename, text }) => sum + filename.length + text.length, 0);
  return { ...budget, prefix: budget.prefix + Math.max(0, budget.context - used) };
}

const SUFFIX_SHARE = 24;
const CONTEXT_SHARE = 3;

/**
 * Returns what each part may take of a number of characters.
 *
 * The suffix stands behind the prefix in a model's prompt, so it is read anew after each key: it gets
 * the least. Without context the prefix gets its share.
 */
export function budgetOf(characters: number, withContext: boolean): Budget {
  const suffix = Math.floor(characters / SUFFIX_SHARE);
  const context = withContext ? Math.floor(characters / CONTEXT_SHARE) : 0;
  return { prefix: characters - suffix - context, suffix, context };
}

/**
 * Returns the text around a place.
 *
 * The prefix begins at a line that stays the same while half of its budget is typed: the server
 * knows what it has read by how that begins.
 *
 * @param before all before the place.
 * @param after all behind it.
 * @param budget how many characters are taken.
 */
export function around(before: string, after: string, budget: Budget): Around {
  return { prefix: anchored(before, budget.prefix), suffix: wholeLines(after, budget.suffix) };
}

function anchored(before: string, size: number): string {
  if (before.length <= size) {
    return before;
  }
  const step = Math.max(1, Math.floor(size / 2));
  const begin = Math.ceil((before.length - size) / step) * step;
  const lineEnd = before.indexOf("\n", begin - 1);
  return lineEnd === -1 ? before.slice(before.length - size) : before.slice(lineEnd + 1);
}

function wholeLines(after: string, size: number): string {
  if (after.length <= size) {
    return after;
  }
  const part = after.slice(0, size);
  const lineEnd = part.lastIndexOf("\n");
  return lineEnd === -1 ? part : part.slice(0, lineEnd + 1);
}
