/** A puzzle that a person types, solved before their eyes. */
import {Board, isSolved, legend} from "./board.js";
import {checkpointChoice, keepFilled} from "./choices.js";
import {h} from "./dom.js";
import {askLines, remember} from "./store.js";
import {newest} from "./watch.js";

const EXAMPLES = [
  ["an easy one", "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"],
  ["a hard one", "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."],
];

export function solve(settings) {
  const trained = () => newest().filter(run => run.experiment === "sudoku" && run.checkpoint).map(run => [run.name, run.name]);
  const checkpoint = checkpointChoice(settings.get("checkpoint"));
  const model = h("select", {id: "model"});
  const models = keepFilled(model, () => [["", [["", "the model that comes with the package"], ...trained()]]], settings.get("run") ?? "", () => checkpoint.of(model.value));
  const puzzle = h("textarea", {id: "puzzle", spellcheck: "false"}, settings.get("puzzle") ?? "");
  const begins = h("button", {type: "submit", class: "primary"}, "Solve");
  const refused = h("p", {class: "warn problem", role: "alert"});
  const verdict = h("p", {role: "status"});
  const told = h("p", {class: "quiet small"});
  const slider = h("input", {type: "range", id: "moment", min: "1", max: "1", value: "1", disabled: true, oninput: event => { stopPlaying(); show(Number(event.target.value) - 1); }});
  const where = h("output", {class: "small", for: "moment"});
  const board = new Board("The puzzle, and what the model proposes");
  let steps = [], givens = ".".repeat(81), shown = -1, timer = null, controller = null, ending = "";
  board.show({givens, digits: givens});

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
    where.textContent = `step ${now.step}${now.attempt > 1 ? ` of attempt ${now.attempt}` : ""}`;
    if (ending) verdict.textContent = shown === steps.length - 1 ? ending : "Thinking ...";
    told.textContent = `${seen.conflicts} in conflict · ${seen.changed} changed · ${now.confidence} % sure of the whole`;
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
    const typed = [...puzzle.value.replace(/\s/g, "")].map(c => /[1-9]/.test(c) ? c : ".").join("");
    givens = typed.length === 81 ? typed : ".".repeat(81);
    board.show({givens, digits: givens});
    remember({run: model.value, checkpoint: checkpoint.value(), puzzle: puzzle.value.trim().slice(0, 400), go: ""});
    try {
      const asked = {experiment: "sudoku", name: model.value, checkpoint: checkpoint.value(), puzzle: puzzle.value};
      await askLines("/api/think", asked, own.signal, answer => {
        if (answer.done) finish(answer);
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
      refused.textContent = answer.error;
      return;
    }
    givens = answer.givens;
    const attempts = answer.attempts > 1 ? ` in ${answer.attempts} attempts` : "";
    const solved = steps.findLastIndex(step => step.attempt === answer.attempt && isSolved(step.digits, givens));
    if (answer.solved && solved >= 0) {
      ending = `✓ Solved${attempts}, checked by the rules: ${answer.title}`;
      steps = steps.slice(0, solved + 1);
    } else ending = `✕ Not solved${attempts}: ${answer.title}`;
    if (shown === steps.length - 1) show(shown);
    play();
  }

  const form = h("form", {class: "stack", onsubmit: event => { event.preventDefault(); begin(); }},
    h("div", {class: "field"}, h("label", {for: "puzzle"}, "Puzzle"), puzzle,
      h("span", {class: "help"}, "81 characters, 0 or . for a blank, in one line or nine; or any other form that the commands read")),
    h("div", {class: "row tight"}, EXAMPLES.map(([text, digits]) => h("button", {type: "button", onclick: () => { puzzle.value = digits; begin(); }}, text))),
    h("div", {class: "field"}, h("label", {for: "model"}, "Model"), model, h("span", {class: "help"}, "runs appear here once they have saved a checkpoint")), checkpoint.element,
    h("div", {class: "row tight"}, begins), refused);
  const element = h("div", {class: "solve"},
    h("div", {class: "stack"}, board.element,
      h("div", {class: "scrub"}, h("label", {for: "moment"}, "Thought"), slider, where), verdict, told, legend()),
    form);
  if (settings.get("go") === "1" && puzzle.value) begin();
  return {element, end: () => { stopPlaying(); controller?.abort(); models.end(); checkpoint.end(); }};
}
