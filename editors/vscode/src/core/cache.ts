/** Remembers suggestions, and finds the rest of one whose beginning has been typed. */

const KEY_BEFORE = 1000;
const KEY_AFTER = 300;
const MOST_TYPED = 200;

/** Suggestions by the text around them; the least recently used are forgotten. */
export class SuggestionCache {
  private readonly entries = new Map<string, readonly string[]>();

  /** @param size how many places are remembered. */
  constructor(private readonly size: number) {}

  /** Remembers what was suggested between two texts of a document, the best first. */
  set(document: string, before: string, after: string, suggestions: readonly string[]): void {
    const key = keyOf(document, before, after);
    this.entries.delete(key);
    this.entries.set(key, suggestions);
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.size) {
        break;
      }
      this.entries.delete(oldest);
    }
  }

  /**
   * Returns what is known to go between two texts of a document: what was suggested here, or before
   * characters that it begins with. Undefined where nothing is.
   */
  get(document: string, before: string, after: string): readonly string[] | undefined {
    for (let typed = 0; typed <= Math.min(MOST_TYPED, before.length); typed += 1) {
      const key = keyOf(document, before.slice(0, before.length - typed), after);
      const found = this.entries.get(key);
      if (found === undefined) {
        continue;
      }
      const beginning = before.slice(before.length - typed);
      const fitting = found.filter((one) => one.startsWith(beginning) && one !== beginning);
      if (fitting.length > 0 || typed === 0) {
        this.set(document, before.slice(0, before.length - typed), after, found);
        return fitting.map((one) => one.slice(typed));
      }
    }
    return undefined;
  }

  /** Forgets everything. */
  clear(): void {
    this.entries.clear();
  }
}

function keyOf(document: string, before: string, after: string): string {
  return [document, before.slice(-KEY_BEFORE), after.slice(0, KEY_AFTER)].join("\0");
}
