/** The same puzzles at every evaluation: through training and through steps of thought. */
import {ABOUT_STEP, Board, legend} from "./board.js";
import {keepFilled} from "./choices.js";
import {h} from "./dom.js";
import {attempt, link, listen, query, remember, runs} from "./store.js";
import {believed} from "./thoughts.js";
import {newest} from "./watch.js";

const ABOUT = `Rating: how many guesses a solver without a model needs. ${ABOUT_STEP}`;

export function think(settings) {
  // The newest of which there is something to see, so that logs of other code do not hide it.
  const name = settings.get("run") ?? (newest().find(run => run.probed_bytes) ?? newest()[0])?.name;
  const select = h("select", {});
  const choice = h("label", {class: "option"}, "Run", select);
  const body = h("div", {class: "stack"});
  const element = h("div", {class: "stack"}, h("h1", {}, "See it think"), name && h("div", {class: "row"}, choice), body);
  let records = [], at = 0, step = Infinity, follows = true, boards = [], ended = false, asked = 0;
  const names = () => [["", [...new Set([...(name ? [name] : []), ...newest().map(run => run.name)])].map(one => [one, one])]];
  const choices = keepFilled(select, names, name, () => { if (select.value && select.value !== name) location.hash = link("think", {run: select.value}); });

  async function load() {
    const number = ++asked;
    const isOver = () => ended || number !== asked || !runs.has(name);
    const found = runs.has(name) && runs.get(name).state !== "queued" ? await attempt(`/api/probes?${query({run: name})}`, undefined, isOver) : {records: []};
    if (!found || ended || number !== asked) return;
    const isFirst = !records.length;
    records = found.records;
    if (!records.length && !runs.has(name)) {
      body.replaceChildren(h("p", {class: "quiet"}, `There is no run ${name} (any more).`));
      return;
    }
    if (!records.length) {
      body.replaceChildren(h("p", {class: "quiet"}, "Nothing was probed yet: at every evaluation a Sudoku run solves the same four puzzles, and a code run continues the same functions; here you see how the answers change. Runs of older code have none."));
      return;
    }
    try {
      if (isFirst) build();
      // A run that was resumed has fewer for a while.
      at = follows ? records.length - 1 : Math.min(at, records.length - 1);
      show();
    } catch (error) {
      // A run's folder may come from anyone, and its records may be of another form.
      body.replaceChildren(h("p", {role: "alert"}, `What was probed cannot be shown: ${error.message}`));
      records = [];
    }
  }

  let training, thought, where, which, samples;
  const isText = () => records[0].kind === "text";
  function build() {
    training = h("input", {type: "range", id: "training", min: "0", oninput: event => { at = Number(event.target.value); follows = at === records.length - 1; show(); }});
    thought = h("input", {type: "range", id: "thought", min: "1", oninput: event => { step = Number(event.target.value); show(); }});
    where = h("output", {class: "small", for: "training"});
    which = h("output", {class: "small", for: "thought"});
    at = records.findIndex(record => record.step === Number(settings.get("at")));
    follows = at < 0;
    if (settings.has("thought")) step = Number(settings.get("thought")) || Infinity;
    if (isText()) {
      samples = h("div", {class: "boards wide"});
      body.replaceChildren(h("div", {class: "card scrub"}, h("label", {for: "training"}, "Training"), training, where),
        h("p", {class: "quiet small"}, "The first line is given, the rest is the model's."), samples);
      return;
    }
    boards = records[0].puzzles.map((_, i) => ({board: new Board(`Puzzle ${i + 1}`), text: h("p", {class: "small quiet", title: ABOUT}), title: h("h2", {}, `Puzzle ${i + 1}`)}));
    body.replaceChildren(
      h("div", {class: "card scrub"}, h("label", {for: "training"}, "Training"), training, where, h("label", {for: "thought"}, "Thought"), thought, which),
      legend(),
      h("div", {class: "boards"}, boards.map(({board, text, title}) => h("section", {class: "card stack"}, title, board.element, text))));
  }

  function showText(record) {
    const scrolled = [...samples.querySelectorAll(".scroll")].map(one => one.scrollLeft);
    samples.replaceChildren(...record.samples.map(({prompt, completion, parses}, i) => h("section", {class: "card stack"},
      h("p", {class: "small quiet"}, parses ? "✓ parses" : "✕ does not parse"),
      h("pre", {tabindex: "0"}, h("b", {}, prompt), completion), believed(record.thoughts?.[i]))));
    samples.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = scrolled[i] ?? 0; });
  }

  function show() {
    const record = records[at];
    training.max = records.length - 1;
    training.value = at;
    training.setAttribute("aria-valuetext", `step ${record.step} of training`);
    where.textContent = `step ${record.step} of training`;
    if (isText()) {
      showText(record);
      remember({run: name, at: follows ? "" : record.step});
      return;
    }
    const last = Math.max(...record.puzzles.map(puzzle => puzzle.steps.length));
    const now = Math.min(step, last);
    thought.max = last;
    thought.value = now;
    which.textContent = `step ${now} of ${last}`;
    record.puzzles.forEach((puzzle, i) => {
      if (!boards[i]) return;
      const index = Math.min(now, puzzle.steps.length) - 1;
      const {board, text, title} = boards[i];
      const digits = puzzle.steps[index];
      const seen = board.show({givens: puzzle.givens, digits, sureness: puzzle.sureness[index], before: puzzle.steps[index - 1]});
      const right = [...digits].filter((digit, k) => puzzle.givens[k] === "." && digit === puzzle.solution[k]).length;
      const blanks = [...puzzle.givens].filter(c => c === ".").length;
      title.textContent = `Puzzle ${i + 1}${board.isSolved(digits, puzzle.givens) ? ": solved" : ""}`;
      const halts = index + 1 === puzzle.halt ? "halts here" : index + 1 > puzzle.halt ? `halted at step ${puzzle.halt}` : "thinking";
      text.textContent = [`rating ${puzzle.rating}`, `${right} of ${blanks} blanks right`, `${seen.conflicts} in conflict`, index ? `${seen.changed} changed` : "", `${puzzle.confidence[index]} % sure of the whole`, halts].filter(Boolean).join(" · ");
    });
    remember({run: name, at: follows ? "" : record.step, thought: step === Infinity ? "" : now});
  }

  if (!name) body.append(h("p", {class: "quiet"}, "There is no run yet. ", h("a", {href: link("new", {experiment: "sudoku", preset: "minute"})}, "Train for a minute"), ", or ", h("a", {href: "#/try"}, "try the model that comes with the package"), "."));
  else load();
  let seen = runs.get(name)?.probed_bytes;
  const end = listen((changed, kind) => {
    if (kind === "system" || kind === "lost" || !changed.includes(name)) return;
    const now = runs.get(name)?.probed_bytes;
    if (now === seen) return;
    seen = now;
    load();
  });
  return {element, end: () => { ended = true; end(); choices.end(); }};
}
