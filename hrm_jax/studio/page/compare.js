/** Runs side by side: where their configurations differ, and what they reached. */
import {curvesOf} from "./curves.js";
import {h, number} from "./dom.js";
import {bestSoFar, inOrder, isLower} from "./explain.js";
import {pareto} from "./pareto.js";
import {attempt, query, remember, runs} from "./store.js";
import {newest} from "./watch.js";

const SHOWN = /^(train\/(loss|exact_accuracy|cell_accuracy|bits_per_byte)|validation\/|telemetry\/steps_per_second)/;

export function compare(settings) {
  const chosen = new Set((settings.get("runs") ?? newest().slice(0, 2).map(run => run.name).join(",")).split(",").filter(name => runs.has(name)));
  const tables = h("div", {class: "stack"});
  const choices = h("fieldset", {}, h("legend", {}, "Runs"), h("div", {class: "row"}, newest().slice(0, 200).map(run => h("label", {class: "option"},
    h("input", {type: "checkbox", checked: chosen.has(run.name), onchange: event => {
      event.target.checked ? chosen.add(run.name) : chosen.delete(run.name);
      remember({runs: [...chosen].join(",") || "none"});
      show();
    }}), run.name))));

  let isBest = settings.get("value") === "best";
  const which = h("label", {class: "option", title: "The best is over all records, whatever came after it"}, "Value",
    h("select", {onchange: event => { isBest = event.target.value === "best"; remember({value: isBest ? "best" : ""}); show(); }},
      [["last", "the last"], ["best", "the best so far"]].map(([value, text]) => h("option", {value, selected: isBest === (value === "best")}, text))));
  const valueOf = (name, metric) => isBest ? bestOf(name, metric) : runs.get(name).latest[metric];

  async function show() {
    const names = [...chosen].filter(name => runs.has(name));
    if (names.length < 2) {
      tables.replaceChildren(h("p", {class: "quiet"}, runs.size < 2 ? "There are not two runs yet." : "Choose two or more."));
      return;
    }
    await Promise.all(names.map(readAll));
    const configs = await Promise.all(names.map(name => attempt(`/api/config?${query({run: name})}`)));
    if (configs.some(config => !config)) return;
    tables.replaceChildren(h("section", {class: "card stack"}, h("h2", {}, "What they reached"), which, reached(names, valueOf), seeds(names, configs, valueOf)),
      pareto(names, asked => remember({measure: asked}), settings.get("measure")),
      h("section", {class: "card stack"}, h("h2", {}, "Where they are set differently"), differences(names, configs)));
  }
  show();
  return {element: h("div", {class: "stack"}, h("h1", {}, "Compare"), choices, tables)};
}

/** Reads all curves of a run that are compared. */
async function readAll(name) {
  const curves = curvesOf(name);
  do {
    await curves.grow(curves.names.filter(one => SHOWN.test(one)));
  } while (curves.share < 1 || curves.names.some(one => SHOWN.test(one) && !curves.curves.has(one)));
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
    return [metric, isLower(metric) ? Math.min(...values) : Math.max(...values)];
  }));
  const head = h("tr", {}, h("th", {scope: "col"}, "value of"), names.map(name => h("th", {scope: "col", class: "number"}, name)));
  const lines = metrics.map(metric => h("tr", {}, h("th", {scope: "row"}, metric), names.map(name => {
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
        return h("tr", {}, h("th", {scope: "row"}, metric), [values.length ? number(mean, metric) : "–", values.length > 1 ? `± ${number(spread, metric)}` : "–", values.length ? number(Math.min(...values), metric) : "–", values.length ? number(Math.max(...values), metric) : "–"].map(text => h("td", {class: "number"}, text)));
      }))));
  }));
}

function differences(names, configs) {
  const paths = [...new Set(configs.flatMap(config => Object.keys(config.values)))].filter(Boolean);
  const differing = paths.filter(path => new Set(configs.map(config => config.values[path])).size > 1);
  if (!differing.length) return h("p", {class: "quiet"}, "Nowhere: they are set alike.");
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"},
    h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "field"), names.map(name => h("th", {scope: "col"}, name)))),
    h("tbody", {}, differing.map(path => h("tr", {}, h("th", {scope: "row"}, h("code", {}, path)), configs.map(config => h("td", {}, h("code", {}, config.values[path] ?? "–"))))))));
}
