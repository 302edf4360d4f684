/** Which checkpoint of a run: the newest, or another that is kept. */
import {h} from "./dom.js";
import {attempt, query} from "./store.js";

export function checkpointChoice(wanted) {
  const select = h("select", {id: "checkpoint"});
  const element = h("div", {class: "field", hidden: true}, h("label", {for: "checkpoint"}, "Checkpoint"), select);
  let asked = 0;

  /** Offers those of a run; hides the choice without one. */
  async function of(run) {
    const number = ++asked;
    element.hidden = true;
    select.replaceChildren();
    const found = run && await attempt(`/api/checkpoints?${query({run})}`);
    if (!found || number !== asked) return;
    const saved = found.checkpoints.reverse();
    select.replaceChildren(h("option", {value: ""}, "the newest"),
      ...saved.map(name => h("option", {value: name, selected: name === wanted}, `step ${Number(name.replace(/\D/g, ""))}`)));
    element.hidden = saved.length < 2;
  }
  return {element, of, value: () => select.value || ""};
}
