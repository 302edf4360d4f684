/** Makes suggestions for a place in a document. */

import type { SuggestionCache } from "./cache";
import type { Chunk } from "./chunks";
import { type Shape, indentation, shaped } from "./lines";
import type { Filling, Hole, Server } from "./server";
import { type Budget, around, beside } from "./window";

/** A place in a document, and what else a model is to see. */
export interface Place {
  /** Tells documents apart. */
  readonly document: string;
  /** All of it before the place, with line ends of one character. */
  readonly before: string;
  readonly after: string;
  readonly context: readonly Chunk[];
  /** Its path within its project, and the project's name; empty where they are not told. */
  readonly filename: string;
  readonly project: string;
}

/** How suggestions are made. */
export interface SuggestionOptions {
  readonly budget: Budget;
  readonly maxTokens: number;
  readonly maxLines: number;
  readonly maxMilliseconds: number;
}

/** How others than the likeliest text are drawn. */
const OTHERS_TEMPERATURE = 0.8;

/** Asks a server for suggestions, and remembers them. */
export class Suggester {
  constructor(private readonly cache: SuggestionCache) {}

  /** Returns what is known already to go at a place, undefined where nothing is. */
  known(place: Place): readonly string[] | undefined {
    return this.cache.get(place.document, place.before, place.after);
  }

  /** Returns the likeliest suggestion, or none; rejects as Server.fill. */
  async likeliest(
    server: Server,
    place: Place,
    options: SuggestionOptions,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    // Who pauses within a line waits for the rest of it, and does not wait for lines behind it as
    // well, unless any time will do.
    const maxLines = isBegun(place) && options.maxMilliseconds > 0 ? 1 : options.maxLines;
    const draw = { temperature: 0, seed: 0 };
    const found = await written(server, place, { ...options, maxLines }, draw, signal);
    return this.remember(place, [found]);
  }

  /** Returns several suggestions, those that are known first; rejects as Server.fill. */
  async several(
    server: Server,
    place: Place,
    options: SuggestionOptions,
    count: number,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const known = this.known(place) ?? [];
    const missing = Array.from({ length: Math.max(0, count - known.length) }, (_, index) => {
      // The likeliest is the first; a draw with a seed that was used before would be the same.
      const seed = known.length + index;
      const draw = { temperature: seed === 0 ? 0 : OTHERS_TEMPERATURE, seed };
      return written(server, place, options, draw, signal);
    });
    return this.remember(place, [...known, ...(await Promise.all(missing))]);
  }

  private remember(place: Place, suggestions: readonly string[]): readonly string[] {
    const distinct = [...new Set(suggestions)].filter((one) => one.trim() !== "");
    this.cache.set(place.document, place.before, place.after, distinct);
    return distinct;
  }
}

/** Returns the hole at a place, as a server is to see it. */
export function holeOf(place: Place, budget: Budget): Hole {
  const { context, filename, project } = place;
  return {
    ...around(place.before, place.after, beside(budget, context)),
    context,
    filename,
    project,
  };
}

/** Returns what a suggestion at a place may be: one line where text follows on the line. */
export function shapeOf(place: Place, maxLines: number): Shape {
  const [restOfLine = ""] = place.after.split("\n", 1);
  return {
    maxLines: restOfLine.trim() === "" ? maxLines : 1,
    indentation: indentation(lineBefore(place)),
  };
}

/** Returns what stands before a place in its line. */
function lineBefore(place: Place): string {
  return place.before.slice(place.before.lastIndexOf("\n") + 1);
}

/** Returns whether there is more than white space before a place in its line. */
function isBegun(place: Place): boolean {
  return lineBefore(place).trim() !== "";
}

async function written(
  server: Server,
  place: Place,
  options: SuggestionOptions,
  draw: Pick<Filling, "temperature" | "seed">,
  signal: AbortSignal,
): Promise<string> {
  const shape = shapeOf(place, options.maxLines);
  const { maxTokens, maxMilliseconds } = options;
  const filling = { maxTokens, maxMilliseconds, oneLine: shape.maxLines === 1, ...draw };
  let text = "";
  for await (const part of server.fill(holeOf(place, options.budget), filling, signal)) {
    text += part;
    if (shaped(text, shape).done) {
      break; // The server stops writing when the connection closes.
    }
  }
  return shaped(text, shape).text;
}
