/** All runs, and the curves of those that are chosen. */
import {charts, settingsOf, swatch} from "./charts.js";
import {duration, h, number} from "./dom.js";
import {asList, attempt, fromList, link, listen, remember, runs} from "./store.js";

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
  const name = ["validation/exact_accuracy", "validation/solved", "validation/bits_per_byte", "train/bits_per_byte", "train/loss"].find(n => n in run.latest);
  const part = name && `${name.split("/")[1].replaceAll("_", " ").replace("exact accuracy", "solved")} ${number(run.latest[name], name)}`;
  return [run.steps ? `step ${run.step} of ${run.steps}` : run.step ? `step ${run.step}` : "", part, left(run)].filter(Boolean).join(" · ");
}

/** The groups that a run is in. */
const KEYS = {
  folder: run => [run.name.includes("/") ? run.name.slice(0, run.name.lastIndexOf("/")) : ""],
  tag: run => run.tags.length ? run.tags.map(tag => `#${tag}`) : [""],
  experiment: run => [run.experiment],
  state: run => [run.state],
};

/** Whether there is no run but those that come along. */
const isFirstVisit = () => [...runs.keys()].every(name => name === EXAMPLE);

export function watch(settings) {
  if (isFirstVisit() && !settings.has("runs")) return welcome();
  const drawn = settingsOf(settings);
  const latest = () => newest().map(run => run.name).filter(name => name !== EXAMPLE).slice(0, SHOWN_FIRST);
  let follows = !settings.has("runs");
  const chosen = new Set(follows ? latest() : fromList(settings.get("runs")));
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
  chosen.forEach(numberOf);
  const figures = charts(() => [...chosen].filter(name => runs.has(name)).map(name => [name, numberOf(name)]), drawn, pin);

  const list = h("ul", {class: "list", "aria-label": "Runs", tabindex: "0"});
  const wrong = h("p", {class: "small quiet", role: "status"});
  const heads = new Map();
  let group = settings.get("group") in KEYS ? settings.get("group") : "";
  const grouping = h("label", {class: "option small"}, "Group by", h("select", {onchange: event => { group = event.target.value; remember({group}); show(); }},
    [["", "nothing"], ["folder", "folder"], ["tag", "tag"], ["experiment", "experiment"], ["state", "state"]].map(([value, text]) => h("option", {value, selected: value === group}, text))));
  const rows = new Map();
  const filter = h("input", {type: "search", value: settings.get("filter") ?? "", placeholder: "Filter names and #tags", title: "A regular expression",
    "aria-label": "Filter names by a regular expression", oninput: () => { remember({filter: filter.value}); show(); }});

  function put(name, is) {
    if (is) { chosen.add(name); numberOf(name); } else { chosen.delete(name); numbers.delete(name); }
  }

  /** Keeps to the runs that are chosen: the address names them. */
  function pin() {
    follows = false;
    remember({runs: asList(chosen)});
  }

  function choose(name, is) {
    put(name, is);
    pin();
    fill(name);
    figures.refresh([name]);
  }

  /** Shows the newest runs, also those that come later, until a person has chosen others. */
  function follow() {
    const wanted = latest();
    const others = [...chosen].filter(name => !wanted.includes(name)), more = wanted.filter(name => !chosen.has(name));
    others.forEach(name => put(name, false));
    more.forEach(name => put(name, true));
    if (others.length || more.length) figures.refresh(more);
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
      row.what = h("span", {class: "what", title: "Steps that are done, and the newest value of what tells most"});
      row.progress = h("span", {class: "bar"});
      row.append(row.box, row.head, row.state, row.what, row.progress);
    }
    row.box.checked = chosen.has(name);
    row.head.firstChild.replaceWith(swatch(chosen.has(name) ? numberOf(name) : undefined));
    row.state.className = `state ${run.state}`;
    row.state.textContent = run.state;
    row.what.textContent = [run.tags.map(tag => `#${tag}`).join(" "), gist(run) || run.description || run.message].filter(Boolean).join(" · ");
    const bar = progress(run);
    row.progress.replaceWith(bar);
    row.progress = bar;
  }

  function head(key, names) {
    if (!heads.has(key)) {
      const box = h("input", {type: "checkbox", onchange: () => { const is = box.checked; heads.get(key).names.forEach(name => choose(name, is)); show(); }});
      heads.set(key, {box, node: h("li", {class: "group"}, box, h("b", {}, key || "none"))});
      box.setAttribute("aria-label", `Show the curves of all in ${key || "no group"}`);
    }
    const {box, node} = heads.get(key);
    heads.get(key).names = names;
    box.checked = names.every(name => chosen.has(name));
    return node;
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
    const names = newest().map(run => run.name).filter(name => pattern.test(name) || runs.get(name).tags.some(tag => pattern.test(`#${tag}`)));
    names.forEach(fill);
    const groups = new Map(group ? [] : [["", names]]);
    if (group) for (const name of names) for (const key of KEYS[group](runs.get(name))) groups.set(key, [...(groups.get(key) ?? []), name]);
    // A run with two tags stands in the first of their groups.
    const placed = new Set();
    const wanted = [...groups].sort(([a], [b]) => (a === "") - (b === "") || (a < b ? -1 : 1)).flatMap(([key, members]) => {
      const own = members.filter(name => !placed.has(name));
      own.forEach(name => placed.add(name));
      return own.length ? [...(group ? [head(key, own)] : []), ...own.map(name => rows.get(name))] : [];
    });
    if (wanted.length !== list.children.length || wanted.some((row, i) => list.children[i] !== row)) list.replaceChildren(...wanted);
    if (!wrong.textContent) wrong.textContent = `${names.length} of ${runs.size} runs`;
  }

  show();
  const end = listen((names, kind) => {
    if (kind === "system" || kind === "lost") return;
    if (follows && names.some(name => !rows.has(name))) follow();
    const isSame = names.every(name => rows.has(name) && runs.has(name));
    if (isSame && !list.contains(document.activeElement)) show();
    else if (isSame) names.forEach(fill);
    else show();
  });
  const bin = binList();
  const element = h("div", {class: "watch"}, h("h1", {class: "spoken"}, "Watch"),
    h("aside", {class: "side", "aria-label": "Runs"}, filter, h("div", {class: "row tight"}, grouping, wrong), list, bin),
    figures.element);
  return {element, end: () => { end(); figures.end(); }};
}

/** Runs that were deleted, and how to put them back; asked for when it is opened. */
function binList() {
  const inside = h("div", {class: "stack"});
  async function fill() {
    const found = await attempt("/api/bin");
    if (!found) return;
    const back = async name => { if (await attempt("/api/restore", {name})) fill(); };
    inside.replaceChildren(h("p", {class: "quiet small"}, found.binned.length ? `They lie in ${found.folder}, and can be removed there.` : "Nothing was deleted."),
      h("ul", {class: "list"}, found.binned.map(name => h("li", {class: "group"}, h("button", {type: "button", "aria-label": `Put ${name} back`, onclick: () => back(name)}, "Put back"), h("span", {}, name)))));
  }
  return h("details", {ontoggle: event => event.target.open && fill()}, h("summary", {class: "small"}, "Bin"), inside);
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
