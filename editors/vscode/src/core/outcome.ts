/** Follows what becomes of a suggestion that was offered. */

/** A change of a document: characters from an offset on, and what they became. */
export interface Change {
  readonly offset: number;
  readonly removed: number;
  readonly inserted: string;
}

/** What became of a suggestion. */
export interface Outcome {
  readonly accepted: boolean;
  /** Characters of it that are in the document now. */
  readonly taken: number;
}

/** A suggestion at a place of a document, and how much of it was typed or accepted so far. */
export class Offer {
  /**
   * @param text the suggestion.
   * @param offset where it begins.
   * @param taken characters of it that were there when it was offered.
   */
  constructor(
    private readonly text: string,
    private readonly offset: number,
    private taken = 0,
  ) {}

  /** Returns whether another suggestion is what is left of this one. */
  goesOnWith(text: string, offset: number): boolean {
    const end = this.offset + this.text.length;
    return offset >= this.offset && end - offset === text.length && this.text.endsWith(text);
  }

  /** Takes a change into account; returns the outcome once it is known. */
  change(change: Change): Outcome | undefined {
    if (change.offset === this.offset && change.inserted === this.text) {
      this.taken = this.text.length;
      return this.leave();
    }
    const rest = this.text.slice(this.taken);
    const isHere = change.offset === this.offset + this.taken;
    // A bracket that is typed brings its partner, which the suggestion has later or not.
    const typed = [change.inserted, change.inserted.slice(0, 1)].find(
      (one) => one !== "" && rest.startsWith(one),
    );
    if (!isHere || typed === undefined) {
      return this.leave();
    }
    this.taken += typed.length;
    return this.taken === this.text.length ? this.leave() : undefined;
  }

  /** Returns the outcome where nothing more is taken. */
  leave(): Outcome {
    return { accepted: this.taken === this.text.length, taken: this.taken };
  }
}
