/** Runs side by side: where their configurations differ, and what they reached. */
import {h, number} from "./dom.js";
import {inOrder} from "./explain.js";
import {attempt, query, remember, runs} from "./store.js";
import {newest} from "./watch.js";

const LOWER = /loss|bits_per_byte|gradient|memory|steps$/;
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

  async function show() {
    const names = [...chosen].filter(name => runs.has(name));
    if (names.length < 2) {
      tables.replaceChildren(h("p", {class: "quiet"}, runs.size < 2 ? "There are not two runs yet." : "Choose two or more."));
      return;
    }
    const configs = await Promise.all(names.map(name => attempt(`/api/config?${query({run: name})}`)));
    if (configs.some(config => !config)) return;
    tables.replaceChildren(h("section", {class: "card stack"}, h("h2", {}, "What they reached"), reached(names), seeds(names, configs)),
      h("section", {class: "card stack"}, h("h2", {}, "Where they are set differently"), differences(names, configs)));
  }
  show();
  return {element: h("div", {class: "stack"}, h("h1", {}, "Compare"), choices, tables)};
}

function reached(names) {
  const metrics = inOrder(new Set(names.flatMap(name => Object.keys(runs.get(name).latest)))).filter(metric => SHOWN.test(metric));
  if (!metrics.length) return h("p", {class: "quiet"}, "None has a record yet.");
  const best = new Map(metrics.map(metric => {
    const values = names.map(name => runs.get(name).latest[metric]).filter(v => typeof v === "number");
    return [metric, LOWER.test(metric) ? Math.min(...values) : Math.max(...values)];
  }));
  const head = h("tr", {}, h("th", {scope: "col"}, "last value of"), names.map(name => h("th", {scope: "col", class: "number"}, name)));
  const lines = metrics.map(metric => h("tr", {}, h("th", {scope: "row"}, metric), names.map(name => {
    const value = runs.get(name).latest[metric];
    return h("td", {class: value === best.get(metric) ? "number best" : "number"}, number(value, metric));
  })));
  const steps = h("tr", {}, h("th", {scope: "row"}, "step"), names.map(name => h("td", {class: "number"}, String(runs.get(name).step))));
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"}, h("caption", {class: "spoken"}, "Last values, the best in bold"), h("thead", {}, head), h("tbody", {}, steps, lines)));
}

/** Mean and spread of runs that differ by their seeds alone; null without such. */
function seeds(names, configs) {
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
      h("thead", {}, h("tr", {}, ["metric", "mean", "deviation"].map(text => h("th", {scope: "col"}, text)))),
      h("tbody", {}, metrics.map(metric => {
        const values = group.map(name => runs.get(name).latest[metric]).filter(v => typeof v === "number");
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(values.length - 1, 1));
        return h("tr", {}, h("th", {scope: "row"}, metric), h("td", {}, number(mean, metric)), h("td", {}, values.length > 1 ? `± ${number(spread, metric)}` : "–"));
      }))));
  }));
}

function differences(names, configs) {
  const paths = [...new Set(configs.flatMap(config => Object.keys(config.values)))];
  const differing = paths.filter(path => new Set(configs.map(config => config.values[path])).size > 1);
  if (!differing.length) return h("p", {class: "quiet"}, "Nowhere: they are set alike.");
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"},
    h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "field"), names.map(name => h("th", {scope: "col"}, name)))),
    h("tbody", {}, differing.map(path => h("tr", {}, h("th", {scope: "row"}, h("code", {}, path)), configs.map(config => h("td", {}, h("code", {}, config.values[path] ?? "–"))))))));
}
