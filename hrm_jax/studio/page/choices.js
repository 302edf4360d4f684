/** Choices that follow the runs: of a run, and of one of its checkpoints. */
import {h} from "./dom.js";
import {attempt, listen, query, runs} from "./store.js";

/** Keeps a select filled with what `groups()` returns, `[label, [[value, text], ...]]`. What a person has
 * chosen, or else `wanted`, is chosen as soon as it is there; `changed` is called at every other choice. */
export function keepFilled(select, groups, wanted, changed) {
  let known = "";
  select.addEventListener("change", () => { wanted = select.value; changed(); });
  function fill() {
    const found = groups();
    const key = JSON.stringify(found);
    if (key === known) return;
    known = key;
    const before = select.value;
    const option = ([value, text]) => h("option", {value, selected: value === wanted}, text);
    select.replaceChildren(...found.flatMap(([label, choices]) => label && choices.length ? h("optgroup", {label}, choices.map(option)) : choices.map(option)));
    if (select.value !== before) changed();
  }
  fill();
  return {fill, end: listen((_, kind) => { if (kind !== "system" && kind !== "lost") fill(); })};
}

/** Which checkpoint of a run: the newest, or another that is kept. */
export function checkpointChoice(wanted) {
  const select = h("select", {id: "checkpoint"});
  const element = h("div", {class: "field", hidden: true}, h("label", {for: "checkpoint"}, "Checkpoint"), select);
  let asked = 0, run = "", newest;

  async function fill() {
    const number = ++asked;
    newest = runs.get(run)?.checkpoint;
    const found = newest ? await attempt(`/api/checkpoints?${query({run})}`, undefined, () => number !== asked || !runs.has(run)) : null;
    if (number !== asked) return;
    const saved = found?.checkpoints.reverse() ?? [];
    const chosen = select.value || wanted;
    select.replaceChildren(h("option", {value: ""}, "the newest"),
      ...saved.map(name => h("option", {value: name, selected: name === chosen}, `step ${Number(name.replace(/\D/g, ""))}`)));
    element.hidden = saved.length < 2;
  }

  /** Offers those of a run, also those that it saves from now on; hides the choice without one. */
  async function of(name) {
    run = name ?? "";
    element.hidden = true;
    select.replaceChildren();
    await fill();
  }
  const end = listen((names, kind) => { if (kind !== "system" && kind !== "lost" && runs.get(run)?.checkpoint !== newest) fill(); });
  return {element, of, value: () => select.value || "", end};
}
