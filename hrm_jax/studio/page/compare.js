/** Runs side by side: where their configurations differ, and what they reached. */
import {onThemeChange} from "./chart.js";
import {curvesOf} from "./curves.js";
import {h, notify, number} from "./dom.js";
import {bestSoFar, explain, inOrder, isLower} from "./explain.js";
import {pareto} from "./pareto.js";
import {Gone, asList, attempt, fromList, listen, query, remember, runs} from "./store.js";
import {newest} from "./watch.js";

/** What is compared: all that other code has logged, and of ours what tells how good a run is. */
const SHOWN = /^(train\/(loss|exact_accuracy|cell_accuracy|bits_per_byte)|telemetry\/steps_per_second|(?!train\/|telemetry\/))/;

const SHOW_EVERY = 2000, MOST_OFFERED = 200;

export function compare(settings) {
  const chosen = new Set(settings.has("runs") ? fromList(settings.get("runs")) : newest().slice(0, 2).map(run => run.name));
  const tables = h("div", {class: "stack"});
  const offered = h("div", {class: "row choices"});
  const choices = h("fieldset", {}, h("legend", {}, "Runs"), offered);
  const options = new Map();
  let ended = false, asked = 0, timer = null;

  /** Offers the runs that there are by now; a box that is there stays, so that it keeps the focus. */
  function offer() {
    const names = newest().slice(0, MOST_OFFERED).map(run => run.name);
    for (const name of names) {
      if (options.has(name)) continue;
      options.set(name, h("label", {class: "option"}, h("input", {type: "checkbox", checked: chosen.has(name), onchange: event => {
        event.target.checked ? chosen.add(name) : chosen.delete(name);
        remember({runs: asList(chosen)});
        show();
      }}), name));
    }
    const wanted = names.map(name => options.get(name));
    if (wanted.length !== offered.children.length || wanted.some(one => one.parentNode !== offered)) offered.replaceChildren(...wanted);
  }

  let measure = settings.get("measure");
  let isBest = settings.get("value") === "best";
  const which = h("label", {class: "option", title: "The best is over all records, whatever came after it"}, "Value",
    h("select", {onchange: event => { isBest = event.target.value === "best"; remember({value: isBest ? "best" : ""}); show(); }},
      [["last", "the last"], ["best", "the best so far"]].map(([value, text]) => h("option", {value, selected: isBest === (value === "best")}, text))));
  const valueOf = (name, metric) => isBest ? bestOf(name, metric) : runs.get(name).latest[metric];

  async function show() {
    const number = ++asked;
    const there = () => [...chosen].filter(name => runs.has(name));
    const isOver = () => ended || number !== asked;
    const asking = there();
    const told = await Promise.all(asking.map(name => read(name, () => isOver() || !runs.has(name))));
    if (isOver()) return;
    // What was removed meanwhile is left out.
    const known = new Map(asking.map((name, i) => [name, told[i]]));
    const names = there().filter(name => known.get(name));
    if (names.length < 2) {
      tables.replaceChildren(h("p", {class: "quiet"}, runs.size < 2 ? "There are not two runs yet." : "Choose two or more."));
      return;
    }
    const configs = names.map(name => known.get(name));
    const scrolled = [...tables.querySelectorAll(".scroll")].map(one => one.scrollLeft);
    tables.replaceChildren(h("section", {class: "card stack"}, h("h2", {}, "What they reached"), which, reached(names, valueOf), seeds(names, configs, valueOf)),
      pareto(names, one => { measure = one; remember({measure}); }, measure),
      h("section", {class: "card stack"}, h("h2", {}, "Where they are set differently"), differences(names, configs)));
    tables.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = scrolled[i] ?? 0; });
  }
  offer();
  show();
  const endTheme = onThemeChange(show);
  const end = listen((names, kind) => {
    if (kind === "system" || kind === "lost") return;
    offer();
    if (timer || !names.some(name => chosen.has(name))) return;
    // Not while somebody reads or chooses in the tables: they are drawn anew.
    timer = setTimeout(() => { timer = null; if (!ended && !tables.contains(document.activeElement)) show(); }, SHOW_EVERY);
  });
  return {element: h("div", {class: "stack"}, h("h1", {}, "Compare"), choices, tables), end: () => { ended = true; clearTimeout(timer); end(); endTheme(); }};
}

/** Reads the configuration of a run, and all of its curves that are compared; null where that fails. */
async function read(name, isOver) {
  const curves = curvesOf(name);
  try {
    do {
      await curves.grow(curves.names.filter(one => SHOWN.test(one)));
    } while (!isOver() && (curves.share < 1 || curves.names.some(one => SHOWN.test(one) && !curves.curves.has(one))));
  } catch (error) {
    if (!isOver() && !(error instanceof Gone)) notify(`${name}: ${error.message}`, {bad: true});
    return null;
  }
  return attempt(`/api/config?${query({run: name})}`, undefined, isOver);
}

/** The best value of a curve: it is among the points that are sent, as extremes are kept. */
function bestOf(name, metric) {
  const values = curvesOf(name).curves.get(metric)?.values ?? [];
  return bestSoFar(metric, values).findLast(value => value !== null);
}

function reached(names, valueOf) {
  const metrics = inOrder(new Set(names.flatMap(name => Object.keys(runs.get(name).latest)))).filter(metric => SHOWN.test(metric));
  if (!metrics.length) return h("p", {class: "quiet"}, "None has a record yet.");
  const best = new Map(metrics.map(metric => {
    const values = names.map(name => valueOf(name, metric)).filter(v => typeof v === "number");
    // How many puzzles were looked at is neither good nor bad.
    if (metric.endsWith("/count")) return [metric, NaN];
    return [metric, isLower(metric) ? Math.min(...values) : Math.max(...values)];
  }));
  const head = h("tr", {}, h("th", {scope: "col"}, "value of"), names.map(name => h("th", {scope: "col", class: "number"}, name)));
  const lines = metrics.map(metric => h("tr", {}, h("th", {scope: "row", title: explain(metric)}, metric), names.map(name => {
    const value = valueOf(name, metric);
    return h("td", {class: value === best.get(metric) ? "number best" : "number"}, number(value, metric));
  })));
  const steps = h("tr", {}, h("th", {scope: "row"}, "step"), names.map(name => h("td", {class: "number"}, String(runs.get(name).step))));
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"}, h("caption", {class: "spoken"}, "Values, the best run in bold"), h("thead", {}, head), h("tbody", {}, steps, lines)));
}

/** Mean and spread of runs that differ by their seeds alone; null without such. */
function seeds(names, configs, valueOf) {
  const groups = new Map();
  names.forEach((name, i) => {
    // Logs of other code have no configuration, so nobody knows what they have in common.
    if (!("seed" in configs[i].values)) return;
    const key = JSON.stringify(Object.entries(configs[i].values).filter(([path]) => path !== "seed" && path !== "description"));
    groups.set(key, [...(groups.get(key) ?? []), name]);
  });
  const several = [...groups.values()].filter(group => group.length > 1);
  if (!several.length) return null;
  return h("div", {class: "stack"}, several.map(group => {
    const metrics = inOrder(new Set(group.flatMap(name => Object.keys(runs.get(name).latest)))).filter(metric => SHOWN.test(metric));
    return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"}, h("caption", {}, `The same but for seeds: ${group.join(", ")}`),
      h("thead", {}, h("tr", {}, ["metric", "mean", "deviation", "lowest", "highest"].map((text, i) => h("th", {scope: "col", class: i ? "number" : ""}, text)))),
      h("tbody", {}, metrics.map(metric => {
        const values = group.map(name => valueOf(name, metric)).filter(v => typeof v === "number");
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(values.length - 1, 1));
        return h("tr", {}, h("th", {scope: "row", title: explain(metric)}, metric), [values.length ? number(mean, metric) : "–", values.length > 1 ? `± ${number(spread, metric)}` : "–", values.length ? number(Math.min(...values), metric) : "–", values.length ? number(Math.max(...values), metric) : "–"].map(text => h("td", {class: "number"}, text)));
      }))));
  }));
}

function differences(names, configs) {
  const paths = [...new Set(configs.flatMap(config => Object.keys(config.values)))].filter(Boolean);
  if (!paths.length) return h("p", {class: "quiet"}, "None of them has a configuration here.");
  const differing = paths.filter(path => new Set(configs.map(config => config.values[path])).size > 1);
  if (!differing.length) return h("p", {class: "quiet"}, "Nowhere: they are set alike.");
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"},
    h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "field"), names.map(name => h("th", {scope: "col"}, name)))),
    h("tbody", {}, differing.map(path => h("tr", {}, h("th", {scope: "row"}, h("code", {}, path)), configs.map(config => h("td", {}, h("code", {}, config.values[path] ?? "–"))))))));
}
