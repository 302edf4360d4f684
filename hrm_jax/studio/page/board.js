/** A Sudoku grid that shows what a model proposes. */
import {h} from "./dom.js";

const BLANK = ".";
const UNITS = [...Array(9).keys()].flatMap(i => [
  [...Array(9).keys()].map(j => 9 * i + j),
  [...Array(9).keys()].map(j => 9 * j + i),
  [...Array(9).keys()].map(j => 27 * Math.floor(i / 3) + 3 * (i % 3) + 9 * Math.floor(j / 3) + j % 3),
]);

/** Cells whose digit occurs again in their row, column or box. */
export function conflicts(digits) {
  const found = new Set();
  for (const unit of UNITS) {
    for (const cell of unit) if (digits[cell] !== BLANK && unit.some(other => other !== cell && digits[other] === digits[cell])) found.add(cell);
  }
  return found;
}

export const isSolved = (digits, givens) => !digits.includes(BLANK) && conflicts(digits).size === 0 && [...givens].every((g, i) => g === BLANK || g === digits[i]);

export class Board {
  constructor(label) {
    this.cells = [];
    this.caption = h("caption", {class: "spoken"}, label);
    const rows = [...Array(9).keys()].map(() => h("tr", {}, [...Array(9).keys()].map(() => {
      const cell = h("td", {class: "cell"}, h("span"), h("i", {"aria-hidden": "true"}));
      this.cells.push(cell);
      return cell;
    })));
    this.element = h("div", {class: "board"}, h("div", {class: "frame"}, h("table", {}, this.caption, h("tbody", {}, rows))));
  }

  /** Shows a proposal: `sureness` in percent, `before` the proposal of the step before. */
  show({givens, digits, sureness, before}) {
    const wrong = conflicts(digits);
    let changed = 0;
    this.cells.forEach((cell, i) => {
      const isGiven = givens[i] !== BLANK && digits[i] === givens[i];
      const isNew = Boolean(before) && before[i] !== digits[i];
      changed += isNew;
      cell.className = ["cell", isGiven && "given", wrong.has(i) && "conflict", isNew && "changed"].filter(Boolean).join(" ");
      cell.firstChild.textContent = digits[i] === BLANK ? "" : digits[i];
      cell.style.setProperty("--side", digits[i] === BLANK || !sureness ? 0 : Math.sqrt(sureness[i] / 100).toFixed(3));
      const words = [`row ${Math.floor(i / 9) + 1}, column ${i % 9 + 1}`, isGiven ? "given" : sureness && digits[i] !== BLANK ? `${sureness[i]} % sure` : null, isNew ? "changed" : null, wrong.has(i) ? "in conflict" : null];
      cell.title = words.filter(Boolean).join(", ");
    });
    return {conflicts: wrong.size, changed};
  }
}

export const legend = () => h("p", {class: "quiet small"}, "Grey is given. The larger a tile, the surer the model; a corner marks what changed in this step, a ring what is in conflict.");
