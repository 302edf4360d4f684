/** Takes parts of other files that a model is to see. */

/** A part of another file, as `/infill` takes it. */
export interface Chunk {
  readonly filename: string;
  readonly text: string;
}

/** Another file, and where somebody looked at it. */
export interface Neighbour {
  readonly filename: string;
  readonly text: string;
  /** The line that was looked at, from 0. */
  readonly line: number;
}

/** Lines that are too few to be worth a place. */
const LEAST_CHARACTERS = 80;

/**
 * Returns parts of files, of a number of characters together at most, the most recent file last:
 * nearest to the cursor, where a server that has less room keeps it.
 *
 * @param neighbours the files, the most recent first.
 * @param characters for all of them.
 * @param most files.
 */
export function chunksOf(
  neighbours: readonly Neighbour[],
  characters: number,
  most: number,
): Chunk[] {
  const chunks: Chunk[] = [];
  let left = characters;
  const files = neighbours.slice(0, most);
  files.forEach((neighbour, index) => {
    const share = Math.floor(left / (files.length - index));
    const text = linesAround(neighbour.text, neighbour.line, share - neighbour.filename.length);
    if (text.length >= LEAST_CHARACTERS) {
      chunks.unshift({ filename: neighbour.filename, text });
      left -= text.length + neighbour.filename.length;
    }
  });
  return chunks;
}

/** Returns whole lines around one, of a number of characters at most. */
export function linesAround(text: string, line: number, characters: number): string {
  const lines = text.split("\n");
  const size = (at: number): number => (lines[at]?.length ?? Infinity) + 1;
  let begin = Math.min(Math.max(line, 0), lines.length - 1);
  let end = begin;
  let left = characters;
  while (true) {
    const down = size(end) <= left;
    if (down) {
      left -= size(end);
      end += 1;
    }
    const up = size(begin - 1) <= left;
    if (up) {
      begin -= 1;
      left -= size(begin);
    }
    if (!down && !up) {
      return lines.slice(begin, end).join("\n");
    }
  }
}
