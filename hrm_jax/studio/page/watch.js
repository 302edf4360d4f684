/** All runs, and the curves of those that are chosen. */
import {charts, controls, settingsOf, swatch} from "./charts.js";
import {duration, h, number} from "./dom.js";
import {link, listen, remember, runs} from "./store.js";

const SHOWN_FIRST = 3;
/** The finished run that comes with the package. */
export const EXAMPLE = "(example)";
const HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..";

export const newest = () => [...runs.values()].sort((a, b) => (b.updated ?? 1e18) - (a.updated ?? 1e18) || (a.name < b.name ? -1 : 1));

export function progress(run) {
  const bar = h("i");
  bar.style.width = `${run.steps ? Math.min(100, 100 * run.step / run.steps) : 0}%`;
  return h("div", {class: "bar", "aria-hidden": "true"}, bar);
}

export function left(run) {
  const speed = run.latest["telemetry/steps_per_second"];
  return run.state === "running" && run.steps && speed ? `${duration((run.steps - run.step) / speed)} left` : "";
}

/** What one line says of a run. */
export function gist(run) {
  const name = ["validation/exact_accuracy", "validation/bits_per_byte", "train/bits_per_byte", "train/loss"].find(n => n in run.latest);
  const part = name && `${name.split("/")[1].replaceAll("_", " ").replace("exact accuracy", "solved")} ${number(run.latest[name], name)}`;
  return [run.steps ? `step ${run.step} of ${run.steps}` : run.step ? `step ${run.step}` : "", part, left(run)].filter(Boolean).join(" · ");
}

/** Whether there is no run but those that come along. */
const isFirstVisit = () => [...runs.keys()].every(name => name === EXAMPLE);

export function watch(settings) {
  if (isFirstVisit() && !settings.has("runs")) return welcome();
  const drawn = settingsOf(settings);
  const picked = settings.has("runs") ? settings.get("runs").split(",").filter(name => runs.has(name)) : newest().map(run => run.name).filter(name => name !== EXAMPLE).slice(0, SHOWN_FIRST);
  const chosen = new Set(picked);
  const numbers = new Map();
  const numberOf = name => {
    if (!numbers.has(name)) {
      const taken = new Set(numbers.values());
      let free = 0;
      while (taken.has(free)) free++;
      numbers.set(name, free);
    }
    return numbers.get(name);
  };
  picked.forEach(numberOf);
  const figures = charts(() => [...chosen].filter(name => runs.has(name)).map(name => [name, numberOf(name)]), drawn);

  const list = h("ul", {class: "list", "aria-label": "Runs", tabindex: "0"});
  const wrong = h("p", {class: "small quiet", role: "status"});
  const rows = new Map();
  const filter = h("input", {type: "search", value: settings.get("filter") ?? "", placeholder: "Filter names: a regular expression",
    "aria-label": "Filter names by a regular expression", oninput: () => { remember({filter: filter.value}); show(); }});

  function choose(name, is) {
    if (is) { chosen.add(name); numberOf(name); } else { chosen.delete(name); numbers.delete(name); }
    remember({runs: [...chosen].join(",") || "none"});
    fill(name);
    figures.refresh([name]);
  }

  function fill(name) {
    const run = runs.get(name);
    if (!rows.has(name)) rows.set(name, h("li"));
    const row = rows.get(name);
    // What has the focus stays: only texts are replaced in a row that is there.
    if (!row.box) {
      row.box = h("input", {type: "checkbox", "aria-label": `Show the curves of ${name}`, onchange: event => choose(name, event.target.checked)});
      row.head = h("span", {class: "row tight"}, h("span"), h("a", {class: "name", href: link("run", {name})}, name));
      row.state = h("span");
      row.what = h("span", {class: "what"});
      row.progress = h("span", {class: "bar"});
      row.append(row.box, row.head, row.state, row.what, row.progress);
    }
    row.box.checked = chosen.has(name);
    row.head.firstChild.replaceWith(swatch(chosen.has(name) ? numberOf(name) : undefined));
    row.state.className = `state ${run.state}`;
    row.state.textContent = run.state;
    row.what.textContent = gist(run) || run.description || run.message;
    const bar = progress(run);
    row.progress.replaceWith(bar);
    row.progress = bar;
  }

  function show() {
    let pattern;
    wrong.textContent = "";
    try {
      pattern = new RegExp(filter.value, "i");
    } catch {
      wrong.textContent = "This is no regular expression yet; all runs are shown.";
      pattern = /(?:)/;
    }
    const names = newest().map(run => run.name).filter(name => pattern.test(name));
    names.forEach(fill);
    const wanted = names.map(name => rows.get(name));
    if (wanted.length !== list.children.length || wanted.some((row, i) => list.children[i] !== row)) list.replaceChildren(...wanted);
    if (!wrong.textContent) wrong.textContent = `${names.length} of ${runs.size} runs`;
  }

  show();
  const end = listen((names, kind) => {
    if (kind === "system" || kind === "lost") return;
    const isSame = names.every(name => rows.has(name) && runs.has(name));
    if (isSame && !list.contains(document.activeElement)) show();
    else if (isSame) names.forEach(fill);
    else show();
  });
  const element = h("div", {class: "watch"}, h("h1", {class: "spoken"}, "Watch"),
    h("aside", {class: "side", "aria-label": "Runs"}, filter, wrong, list),
    h("div", {class: "stack"},
      controls(drawn, (name, value) => { remember({[name]: value === true ? "1" : value || ""}); figures.draw(); }), figures.element));
  return {element, end: () => { end(); figures.end(); }};
}

function welcome() {
  const end = listen(() => { if (!isFirstVisit()) dispatchEvent(new HashChangeEvent("hashchange")); });
  const element = h("section", {class: "hero"},
    h("h1", {}, "Train a model, and watch it think"),
    h("p", {class: "quiet"}, "There is no run here yet. Runs that you start from a shell appear by themselves."),
    h("div", {class: "row"},
      h("a", {class: "card", href: link("new", {experiment: "sudoku", preset: "minute"})}, h("b", {}, "Train for a minute"), "A tiny model learns Sudoku, and you see everything run."),
      h("a", {class: "card", href: link("try", {puzzle: HARD, go: "1"})}, h("b", {}, "Watch a hard puzzle being solved"), "By the model that comes with the package, step by step."),
      runs.has(EXAMPLE) && h("a", {class: "card", href: link("run", {name: EXAMPLE})}, h("b", {}, "Open a finished run"), "An example that comes with the package: its curves, and how it thought.")));
  return {element, end};
}
