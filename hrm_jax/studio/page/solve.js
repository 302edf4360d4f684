/** A puzzle that a person types, solved before their eyes. */
import {ABOUT_STEP, Board, legend} from "./board.js";
import {checkpointChoice, keepFilled} from "./choices.js";
import {h} from "./dom.js";
import {askLines, remember} from "./store.js";
import {newest} from "./watch.js";

const EXAMPLES = [
  ["an easy one", "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"],
  ["a hard one", "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."],
  ["six rows", ".14..36........53...61...2....3.5.2.", "2x3"],
  ["twelve rows", "1.....B.56.....C.6......5..3.248..B...14..8....9....B..9..85...9..1..A..4.....5..B3A3.8.......52..27.A..8..1..C.3......7..A....62...7865...2....", "3x4"],
];

const SEARCHES = [["", "as its run is tested"], ["none", "none"], ["tree", "a tree of assumptions"]];
const MOST_IN_ADDRESS = 2000;

export function solve(settings) {
  const trained = () => newest().filter(run => run.experiment === "sudoku" && run.checkpoint).map(run => [run.name, run.name]);
  const checkpoint = checkpointChoice(settings.get("checkpoint"));
  const model = h("select", {id: "model"});
  const models = keepFilled(model, () => [["", [["", "the model that comes with the package"], ...trained()]]], settings.get("run") ?? "", () => checkpoint.of(model.value));
  const search = h("select", {id: "search"}, SEARCHES.map(([value, text]) => h("option", {value, selected: value === settings.get("search")}, text)));
  const puzzle = h("textarea", {id: "puzzle", spellcheck: "false"}, settings.get("puzzle") ?? "");
  const begins = h("button", {type: "submit", class: "primary"}, "Solve");
  const refused = h("p", {class: "warn problem", role: "alert"});
  const verdict = h("p", {role: "status"});
  const told = h("p", {class: "quiet small", title: ABOUT_STEP});
  const slider = h("input", {type: "range", id: "moment", min: "1", max: "1", value: "1", disabled: true, oninput: event => { stopPlaying(); show(Number(event.target.value) - 1); }});
  const where = h("output", {class: "small", for: "moment"});
  const place = h("div");
  const shapes = h("div", {class: "row tight", hidden: true, role: "group", "aria-label": "Rows x columns of its boxes"});
  let steps = [], givens = "", shown = -1, timer = null, controller = null, ending = "", board = null;
  let box = settings.get("box") ?? "";

  /** Shows a puzzle's givens alone, on a board whose boxes are of a shape, `[rows, columns]`. */
  function lay(shape, digits) {
    givens = digits;
    board = new Board("The puzzle, and what the model proposes", shape);
    board.show({givens, digits});
    place.replaceChildren(board.element);
    element.style.setProperty("--side-cells", board.side);
  }

  const stopPlaying = () => { clearInterval(timer); timer = null; };
  function show(index) {
    if (!steps.length) return;
    shown = Math.min(Math.max(index, 0), steps.length - 1);
    const now = steps[shown];
    const before = shown && steps[shown - 1].attempt === now.attempt ? steps[shown - 1].digits : null;
    const seen = board.show({givens, digits: now.digits, sureness: now.sureness, before});
    slider.max = steps.length;
    slider.value = shown + 1;
    slider.disabled = false;
    where.textContent = now.isByRules ? "the answer" : `step ${now.step}${now.attempt > 1 ? ` of attempt ${now.attempt}` : ""}`;
    if (ending) verdict.textContent = shown === steps.length - 1 ? ending : "Thinking ...";
    told.textContent = now.isByRules
      ? "What the rules left of the puzzle under the assumptions of the last attempt; the model has proposed something else."
      : `${seen.conflicts} in conflict · ${seen.changed} changed · ${now.confidence} % sure of the whole`;
  }
  function play() {
    if (timer) return;
    // A search takes hundreds of steps: they are not all waited for.
    timer = setInterval(() => {
      const ahead = steps.length - 1 - shown;
      if (ahead <= 0) { if (!controller) stopPlaying(); return; }
      show(shown + Math.max(1, Math.floor(ahead / 12)));
    }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 900 : 350);
  }

  async function begin() {
    controller?.abort();
    stopPlaying();
    const own = controller = new AbortController();
    steps = [];
    shown = -1;
    ending = "";
    refused.textContent = "";
    verdict.textContent = "The model is being loaded ...";
    told.textContent = where.textContent = "";
    slider.disabled = true;
    shapes.hidden = true;
    lay(board.box, ".".repeat(board.side ** 2));
    // One that is cut would be another puzzle: a long one is not in the address.
    const text = puzzle.value.trim();
    remember({run: model.value, checkpoint: checkpoint.value(), search: search.value, puzzle: text.length <= MOST_IN_ADDRESS ? text : "", box, go: ""});
    try {
      const asked = {experiment: "sudoku", name: model.value, checkpoint: checkpoint.value(), puzzle: puzzle.value, box, search: search.value};
      await askLines("/api/think", asked, own.signal, answer => {
        if (answer.done) finish(answer);
        else if (answer.givens) lay(answer.box, answer.givens);
        else { verdict.textContent = "Thinking ..."; steps.push(answer); play(); }
      });
    } catch (error) {
      if (error.name === "AbortError") return;
      verdict.textContent = "";
      refused.textContent = error.message;
    } finally {
      if (controller === own) controller = null;
    }
  }

  function finish(answer) {
    if (answer.error) {
      verdict.textContent = "";
      if (answer.boxes) askForShape(answer.boxes);
      else refused.textContent = answer.error;
      return;
    }
    const attempts = answer.attempts > 1 ? ` in ${answer.attempts} attempts` : "";
    const solved = steps.findLastIndex(step => step.attempt === answer.attempt && board.isSolved(step.digits, givens));
    if (answer.solved && answer.by_rules && board.isSolved(answer.by_rules, givens)) {
      ending = `✓ Solved${attempts} by rules and assumptions, not by the model: ${answer.title}`;
      steps.push({...steps.at(-1), digits: answer.by_rules, sureness: null, isByRules: true});
    } else if (answer.solved && solved >= 0) {
      ending = `✓ Solved${attempts}, checked by the rules: ${answer.title}`;
      steps = steps.slice(0, solved + 1);
    } else ending = `✕ Not solved${attempts}: ${answer.title}`;
    if (shown === steps.length - 1) show(shown);
    play();
  }

  /** Of some numbers of rows boxes may have several shapes. */
  function askForShape(boxes) {
    const [rows, columns] = boxes[0];
    refused.textContent = `A puzzle of ${rows * columns} rows: say how many rows and columns its boxes have.`;
    shapes.hidden = false;
    shapes.replaceChildren(...boxes.map(shape => h("button", {type: "button", onclick: () => { box = shape.join("x"); begins.focus(); begin(); }}, shape.join("x"))));
  }
  const type = (digits, shape = "") => { puzzle.value = digits; box = shape; begin(); };

  const form = h("form", {class: "stack", onsubmit: event => { event.preventDefault(); begin(); }},
    h("div", {class: "field"}, h("label", {for: "puzzle"}, "Puzzle"), puzzle,
      h("span", {class: "help"}, "81 characters, 0 or . for a blank, in one line or nine; or any other form that the commands read, of 4 to 25 rows")),
    h("div", {class: "row tight"}, EXAMPLES.map(([text, digits, shape]) => h("button", {type: "button", onclick: () => type(digits, shape)}, text))),
    h("div", {class: "field"}, h("label", {for: "model"}, "Model"), model, h("span", {class: "help"}, "runs appear here once they have saved a checkpoint")), checkpoint.element,
    h("div", {class: "field"}, h("label", {for: "search"}, "Search"), search, h("span", {class: "help"}, "what comes after a first attempt that fails; the rules say what is solved")),
    h("div", {class: "row tight"}, begins), refused, shapes);
  const element = h("div", {class: "solve"},
    h("div", {class: "stack"}, place,
      h("div", {class: "scrub"}, h("label", {for: "moment"}, "Thought"), slider, where), verdict, told, legend()),
    form);
  // The shape was of the puzzle that was there.
  puzzle.addEventListener("input", () => { box = ""; shapes.hidden = true; });
  lay([3, 3], ".".repeat(81));
  if (settings.get("go") === "1" && puzzle.value) begin();
  return {element, end: () => { stopPlaying(); controller?.abort(); models.end(); checkpoint.end(); }};
}
