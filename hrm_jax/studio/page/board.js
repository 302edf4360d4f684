/** A Sudoku grid that shows what a model proposes. */
import {h} from "./dom.js";

const BLANK = ".";
/** What is told below a board. */
export const ABOUT_STEP = "In conflict: cells whose digit occurs again in their row, column or box. Changed: since the step before. Sure: what the halting head believes of the whole.";
const USUAL = [3, 3];

/** The cells of every row, column and box. */
function unitsOf(rows, columns) {
  const n = rows * columns;
  const all = [...Array(n).keys()];
  const inBox = (box, k) => n * (rows * Math.floor(box / rows) + Math.floor(k / columns)) + columns * (box % rows) + k % columns;
  return all.flatMap(i => [all.map(j => n * i + j), all.map(j => n * j + i), all.map(j => inBox(i, j))]);
}

export class Board {
  /** A board whose boxes have `box` rows and columns; a digit is a character, A after 9. */
  constructor(label, box = USUAL) {
    const [rows, columns] = this.box = box;
    const n = this.side = rows * columns;
    this.units = unitsOf(rows, columns);
    this.cells = [];
    const all = [...Array(n).keys()];
    // Lines around boxes are on the cells left of and above them.
    const edges = (i, j) => `${(j + 1) % columns || j + 1 === n ? "" : " right"}${(i + 1) % rows || i + 1 === n ? "" : " below"}`;
    const table = all.map(i => h("tr", {}, all.map(j => {
      const cell = h("td", {}, h("span"), h("i", {"aria-hidden": "true"}));
      cell.edges = edges(i, j);
      this.cells.push(cell);
      return cell;
    })));
    this.element = h("div", {class: "board"}, h("div", {class: "frame"}, h("table", {}, h("caption", {class: "spoken"}, label), h("tbody", {}, table))));
    this.element.style.setProperty("--side-cells", n);
  }

  /** Cells whose digit occurs again in their row, column or box. */
  conflicts(digits) {
    const found = new Set();
    for (const unit of this.units) {
      for (const cell of unit) if (digits[cell] !== BLANK && unit.some(other => other !== cell && digits[other] === digits[cell])) found.add(cell);
    }
    return found;
  }

  isSolved(digits, givens) {
    return !digits.includes(BLANK) && this.conflicts(digits).size === 0 && [...givens].every((g, i) => g === BLANK || g === digits[i]);
  }

  /** Shows a proposal: `sureness` in percent, `before` the proposal of the step before. */
  show({givens, digits, sureness, before}) {
    if (digits.length !== this.cells.length) throw new Error(`expected ${this.cells.length} cells, got ${digits.length}`);
    const wrong = this.conflicts(digits);
    let changed = 0;
    this.cells.forEach((cell, i) => {
      const isGiven = givens[i] !== BLANK && digits[i] === givens[i];
      const isNew = Boolean(before) && before[i] !== digits[i];
      changed += isNew;
      cell.className = ["cell", isGiven && "given", wrong.has(i) && "conflict", isNew && "changed"].filter(Boolean).join(" ") + cell.edges;
      cell.firstChild.textContent = digits[i] === BLANK ? "" : digits[i];
      cell.style.setProperty("--side", digits[i] === BLANK || !sureness ? 0 : Math.sqrt(sureness[i] / 100).toFixed(3));
      const words = [`row ${Math.floor(i / this.side) + 1}, column ${i % this.side + 1}`, isGiven ? "given" : sureness && digits[i] !== BLANK ? `${sureness[i]} % sure` : null, isNew ? "changed" : null, wrong.has(i) ? "in conflict" : null];
      cell.title = words.filter(Boolean).join(", ");
    });
    return {conflicts: wrong.size, changed};
  }
}

export const legend = () => h("p", {class: "quiet small"}, "Grey is given. The larger a tile, the surer the model; a corner marks what changed in this step, a ring what is in conflict.");
