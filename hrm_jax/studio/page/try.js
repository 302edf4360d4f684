/** What a person types, answered by a model: a puzzle solved, or code written. */
import {h} from "./dom.js";
import {experiments, link} from "./store.js";
import {solve} from "./solve.js";
import {write} from "./write.js";

export function tryIt(settings) {
  const isCode = settings.get("what") === "code";
  const inner = isCode ? write(settings) : solve(settings);
  const tab = (text, href, is) => h("a", {href, "aria-current": is ? "page" : null}, text);
  const tabs = h("nav", {class: "tabs", "aria-label": "What to try"}, tab("Solve a puzzle", link("try"), !isCode),
    Object.values(experiments).some(one => one.writes) && tab("Write code", link("try", {what: "code"}), isCode));
  return {element: h("div", {class: "stack"}, h("div", {class: "row"}, h("h1", {}, "Try"), tabs), inner.element), end: inner.end};
}
