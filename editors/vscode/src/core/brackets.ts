/** Counts brackets and quotes without a partner, in any language that uses the usual ones. */

const CLOSERS: ReadonlyMap<string, string> = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);
const OPENERS = new Set(CLOSERS.values());
const QUOTES = ['"""', "'''", '"', "'", "`"];
const CLOSING_RUN = /^(?:[)\]}"'`])+/;

/** Returns the closing brackets and quotes that a text begins with. */
export function closingRun(text: string): string {
  return CLOSING_RUN.exec(text)?.[0] ?? "";
}

/** Returns how many brackets and quotes of a text have no partner. Those in strings are text. */
export function unmatched(text: string): number {
  const open: string[] = [];
  let count = 0;
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    const quote = quoteAt(text, at);
    if (quote !== undefined) {
      const end = stringEnd(text, at, quote);
      count += end.closed ? 0 : 1;
      at = end.at;
      continue;
    }
    if (OPENERS.has(character)) {
      open.push(character);
    } else if (CLOSERS.has(character)) {
      if (open.at(-1) === CLOSERS.get(character)) {
        open.pop();
      } else {
        count += 1;
      }
    }
    at += 1;
  }
  return count + open.length;
}

function quoteAt(text: string, at: number): string | undefined {
  const quote = QUOTES.find((one) => text.startsWith(one, at));
  // An apostrophe within a word, as in "doesn't", is no quote; `f'x'` and `rb'x'` are.
  const isApostrophe = quote === "'" && /\w{2}$/.test(text.slice(Math.max(0, at - 2), at));
  return isApostrophe && /\w/.test(text.charAt(at + 1)) ? undefined : quote;
}

/** Returns where a string is over, and whether a quote ends it or the end of the line does. */
function stringEnd(text: string, begin: number, quote: string): { at: number; closed: boolean } {
  const spansLines = quote.length > 1 || quote === "`";
  let at = begin + quote.length;
  while (at < text.length) {
    if (text.startsWith(quote, at)) {
      return { at: at + quote.length, closed: true };
    }
    if (text.charAt(at) === "\n" && !spansLines) {
      return { at, closed: false };
    }
    at += text.charAt(at) === "\\" ? 2 : 1;
  }
  return { at, closed: false };
}
