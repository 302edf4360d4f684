/** Figures of several runs side by side, live. */
import {Chart, colour, onThemeChange} from "./chart.js";
import {curvesOf} from "./curves.js";
import {h, notify} from "./dom.js";
import {inOrder} from "./explain.js";
import {Gone, address, listen, remember, runs, zoomTo, zoomsOf} from "./store.js";

const AGAIN = 150;

/** Returns an element that shows all curves of runs; `chosen()` tells them as `[name, number]`.
 * `zooming` is called before a figure shows another part because somebody asked for it. */
export function charts(chosen, settings, zooming = () => {}) {
  const grid = h("div", {class: "charts"});
  const reading = h("p", {class: "quiet small", role: "status"});
  const byName = new Map();
  let ended = false, zooms = zoomsOf(address().settings);

  function zoom(name, range) {
    zooming();
    zoomTo(name, range);
    follow();
  }

  /** Shows the parts that the address names. */
  function follow() {
    zooms = zoomsOf(address().settings);
    for (const [name, chart] of byName) chart.show(zooms.get(name) ?? null);
  }

  /** Draws anew after a setting has changed. */
  function change(name, value) {
    remember({[name]: value === true ? "1" : value || ""});
    if (name === "x" && zooms.size) {
      // Parts are of steps or of seconds: across the other they would be others.
      remember({zoom: ""});
      follow();
    }
    draw();
  }

  async function refresh(names) {
    // Of a run that waits in the queue there is nothing yet.
    const asked = chosen().filter(([run]) => (!names || names.includes(run)) && runs.get(run)?.state !== "queued");
    await Promise.all(asked.map(async ([run]) => {
      const curves = curvesOf(run);
      try {
        await curves.grow(curves.names);
        if (curves.names.some(name => !curves.curves.has(name))) await curves.grow(curves.names);
      } catch (error) {
        // A run that was removed goes from the list as soon as the studio looks again.
        if (!ended && runs.has(run) && !(error instanceof Gone)) notify(`${run}: ${error.message}`, {bad: true});
      }
    }));
    if (ended) return;
    draw();
    const unread = asked.filter(([run]) => curvesOf(run).share < 1);
    if (unread.length) setTimeout(() => refresh(unread.map(([run]) => run)), AGAIN);
  }

  function draw() {
    const drawn = chosen();
    const names = inOrder(new Set(drawn.flatMap(([run]) => curvesOf(run).names))).filter(name => patternOf(settings.figures).test(name));
    for (const name of names) {
      if (!byName.has(name)) byName.set(name, new Chart(name, settings, zooms.get(name) ?? null, range => zoom(name, range)));
    }
    const shown = names.map(name => byName.get(name));
    for (const chart of shown) if (chart.card.parentNode !== grid) grid.append(chart.card);
    for (const [name, chart] of byName) if (!names.includes(name)) { chart.card.remove(); byName.delete(name); }
    inOrder(names).forEach((name, i) => { if (grid.children[i] !== byName.get(name).card) grid.insertBefore(byName.get(name).card, grid.children[i]); });
    shown.forEach(chart => chart.draw(drawn));
    const parts = drawn.map(([run]) => curvesOf(run)).filter(c => c.share < 1 && c.names.length).map(c => `${c.name}: ${Math.round(100 * c.share)} % read`);
    const damaged = drawn.map(([run]) => curvesOf(run)).filter(c => c.damaged).map(c => `${c.name}: ${c.damaged} damaged lines left out`);
    const full = drawn.map(([run]) => curvesOf(run)).filter(c => c.isFull).map(c => `${c.name}: its first ${c.names.length} figures alone are shown`);
    reading.textContent = [...parts, ...damaged, ...full].join("; ");
    if (!names.length) reading.textContent = !drawn.length ? "No run is chosen." : settings.figures ? "No figure has such a name (yet)." : "No records yet.";
  }

  const end = listen((names, kind) => { if (kind === "runs" || kind === "all") refresh(names); });
  const endTheme = onThemeChange(draw);
  addEventListener("hashchange", follow);
  refresh();
  return {
    element: h("div", {class: "stack"}, controls(settings, change), reading, grid), refresh,
    end: () => { ended = true; end(); endTheme(); removeEventListener("hashchange", follow); },
  };
}

/** A regular expression that a person types; one that is none yet leaves nothing out. */
function patternOf(text) {
  try {
    return new RegExp(text, "i");
  } catch {
    return /(?:)/;
  }
}

const ACROSS = [["step", "steps"], ["logstep", "steps, log"], ["time", "time"]];

/** Controls of how curves are drawn. */
function controls(settings, changed) {
  const set = (name, value) => { settings[name] = value; changed(name, value); };
  const told = h("output", {class: "small quiet"}, settings.smooth.toFixed(2));
  return h("div", {class: "row"},
    h("label", {class: "option", title: "An exponential average; the faint line is what was measured"}, "Smoothing",
      h("input", {type: "range", min: "0", max: "0.98", step: "0.02", value: String(settings.smooth),
        oninput: event => { told.textContent = Number(event.target.value).toFixed(2); set("smooth", Number(event.target.value)); }}), told),
    h("label", {class: "option"}, "Across",
      h("select", {onchange: event => set("x", event.target.value)},
        ACROSS.map(([value, text]) => h("option", {value, selected: settings.x === value}, text)))),
    h("label", {class: "option"}, h("input", {type: "checkbox", checked: settings.log, onchange: event => set("log", event.target.checked)}), "logarithmic"),
    h("label", {class: "option", title: "Each curve shows the best value that it had until then"}, h("input", {type: "checkbox", checked: settings.best, onchange: event => set("best", event.target.checked)}), "best so far"),
    h("input", {type: "search", value: settings.figures, placeholder: "Filter figures", title: "A regular expression", "aria-label": "Filter figures by a regular expression", oninput: event => set("figures", event.target.value)}),
    h("span", {class: "quiet small"}, "Drag over a figure to zoom, click twice for the whole; with the keyboard: arrows, +, Escape."));
}

export const settingsOf = address => ({
  smooth: Math.min(0.98, Math.max(0, Number(address.get("smooth")) || 0)),
  x: ACROSS.some(([value]) => value === address.get("x")) ? address.get("x") : "step",
  log: address.get("log") === "1",
  best: address.get("best") === "1",
  figures: address.get("figures") ?? "",
});

export function swatch(number) {
  const dot = h("i", {class: "swatch", "aria-hidden": "true"});
  if (number !== undefined) dot.style.background = colour(number);
  return dot;
}
