/** Decides how much of what a model writes is one suggestion. */

/** What a suggestion may be. */
export interface Shape {
  /** Lines at most. */
  readonly maxLines: number;
  /** Columns of white space that the line with the cursor begins with. */
  readonly indentation: number;
}

/** The part of a text that is a suggestion. */
export interface Shaped {
  readonly text: string;
  /** Whether what comes after it does not matter. */
  readonly done: boolean;
}

/**
 * Returns the part of a text that is a suggestion: up to a number of lines, a blank line, or the end
 * of the block with the cursor.
 */
export function shaped(text: string, shape: Shape): Shaped {
  const begin = text.search(/\S/);
  if (begin === -1) {
    // White space alone, of which a model may write any amount.
    return { text: "", done: shape.maxLines === 1 && text.includes("\n") };
  }
  if (shape.maxLines === 1 && text.slice(0, begin).includes("\n")) {
    return { text: "", done: true };
  }
  const lines = text.slice(begin).split("\n");
  const kept = lines.findIndex((_, index) => index > 0 && isOver(lines, index, shape));
  if (kept === -1) {
    return { text, done: false };
  }
  return { text: text.slice(0, begin) + lines.slice(0, kept).join("\n"), done: true };
}

/** Returns the number of columns of white space that a line begins with; a tab counts as one. */
export function indentation(line: string): number {
  return line.length - line.trimStart().length;
}

/** Returns whether a suggestion is over before one of its lines. */
function isOver(lines: readonly string[], index: number, shape: Shape): boolean {
  const line = lines[index] ?? "";
  const isWhole = index < lines.length - 1;
  if (index >= shape.maxLines) {
    return true;
  }
  if (line.trim() === "") {
    return isWhole;
  }
  const closes = /^[)\]}]/.test(line.trim());
  return !closes && indentation(line) < shape.indentation;
}
