/** What the figures and states mean, and which keys there are. */
import {h} from "./dom.js";
import {FIGURES, explain} from "./explain.js";
import {attempt} from "./store.js";

const STATES = [
  ["queued", "waits until no other run is trained"], ["starting", "its process has not begun to train"], ["running", "its process trains"],
  ["finished", "it took its last step"], ["stopped", "it was asked to stop, and is saved"], ["failed", "it ended with an error, which is shown"],
  ["killed", "its process is gone without a word; Resume goes on from the last checkpoint"], ["unknown", "a log of other code, or of a version that did not say"],
];
const KEYS = [
  ["Tab", "goes through all that can be used; the skip link passes the head"], ["← →", "in a figure: the values at a point; in Think and Try: one step"],
  ["+", "in a figure: zooms in around the point"], ["− or Escape", "in a figure: the whole again"],
  ["Alt + ←", "the browser's way back: the part of a figure that was shown before"], ["Space", "chooses a run whose box has the focus"],
];
const DOCS = [
  ["studio.md", "the studio: views, logs of other code, safety"], ["sudoku.md", "Sudoku: files of puzzles, models, search"],
  ["codegen.md", "code: corpora, models, training"], ["verified.md", "code: what verified means, and the sandbox"],
  ["relations.md", "Latin squares and colourings of graphs"], ["assignments.md", "plans of work"], ["measuring.md", "how results are measured"],
];

/** The documentation: links where the studio has it, as it has not where the wheel alone is installed. */
function docs() {
  const list = h("dl", {class: "guide"});
  const fill = there => list.replaceChildren(...DOCS.map(([name, about]) => h("div", {},
    h("dt", {}, there.includes(name) ? h("a", {href: `/api/docs/${name}`, target: "_blank", rel: "noopener"}, name) : `docs/${name}`), h("dd", {}, about))));
  fill([]);
  attempt("/api/docs").then(found => found && fill(found.docs));
  return list;
}

export function guide(settings) {
  const wanted = settings.get("figure");
  const list = pairs => h("dl", {class: "guide"}, pairs.map(([name, text]) => h("div", {class: name === wanted ? "wanted" : ""}, h("dt", {}, name), h("dd", {}, text))));
  const figures = wanted && !FIGURES.some(([name]) => name === wanted) ? [[wanted, explain(wanted)], ...FIGURES] : FIGURES;
  const part = (title, ...inner) => h("section", {class: "card stack"}, h("h2", {}, title), ...inner);
  const element = h("div", {class: "stack"}, h("h1", {}, "Guide"),
    part("Figures", h("p", {class: "quiet"}, "A figure is named by where it was measured and what it is. Of long curves the smallest and the largest value of each stretch are drawn, so no peak is lost; a zoom fetches its part anew."), list(figures)),
    part("States of a run", list(STATES)), part("Keys", list(KEYS)),
    part("More", h("p", {class: "quiet"}, "In the documentation of the project:"), docs()));
  queueMicrotask(() => setTimeout(() => element.querySelector(".wanted")?.scrollIntoView({block: "center"})));
  return {element};
}
