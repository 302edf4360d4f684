/** One run: what can be done with it, its figures, output and configuration. */
import {charts, settingsOf} from "./charts.js";
import {bytes, duration, h, notify, number} from "./dom.js";
import {attempt, experiments, link, listen, query, runs} from "./store.js";
import {left, progress} from "./watch.js";

const LOOK_FOR = 1500;

export function run(settings) {
  const name = settings.get("name") ?? "";
  const element = h("div", {class: "stack"});
  let shown = null, timer = null;

  /** Shows the run as soon as there is one, as a page is asked for before the studio has told of the
   * run; and says so where its folder is gone. */
  function follow() {
    if (runs.has(name) === Boolean(shown) && element.children.length) return;
    clearTimeout(timer);
    shown?.end();
    shown = runs.has(name) ? present(name, settings) : null;
    if (shown) element.replaceChildren(shown.element);
    else {
      element.replaceChildren(h("h1", {}, name || "No run"), h("p", {class: "quiet"}, "Looking for it ..."));
      timer = setTimeout(() => element.replaceChildren(h("h1", {}, name || "No run"), h("p", {role: "status"}, "There is no such run (any more): its folder is not there. ", h("a", {href: "#/watch"}, "All runs"))), LOOK_FOR);
    }
  }
  follow();
  const end = listen((_, kind) => { if (kind !== "system" && kind !== "lost") follow(); });
  return {element, end: () => { clearTimeout(timer); end(); shown?.end(); }};
}

function present(name, settings) {
  let isOver = false, isRemoved = false;
  const isGone = () => isOver || isRemoved || !runs.has(name);
  const drawn = settingsOf(settings);
  const figures = charts(() => runs.has(name) ? [[name, 0]] : [], drawn);
  // Parts of their own: what has the focus is never taken out of the page while the run goes on.
  const title = h("div", {class: "row"}), about = h("p", {class: "quiet"}), bar = h("div"), actions = h("div", {class: "row tight"});
  const tagging = h("div"), facts = h("dl", {class: "facts"});
  const head = h("div", {class: "stack"}, title, about, bar, actions, tagging, facts);
  const output = h("pre", {tabindex: "0", role: "group", "aria-label": "Output"}, "...");
  const config = h("div", {class: "scroll"});
  let shown = "";

  async function act(path, done) {
    const found = await attempt(path, {name});
    if (found) done?.(found);
  }

  async function remove() {
    // What was asked of the run just before is answered by that there is none: nobody need be told.
    isRemoved = true;
    await act("/api/delete", ({binned}) => {
      location.hash = "#/watch";
      notify(`${name} is in the bin`, {action: "Put it back", onaction: async () => {
        if (await attempt("/api/restore", {name: binned})) location.hash = link("run", {name});
      }});
    });
    isRemoved = isOver;
  }

  function show() {
    const now = runs.get(name);
    if (!now) return;
    const key = JSON.stringify(now);
    if (key === shown) return;
    const before = shown && JSON.parse(shown);
    const canChanged = !before || ["experiment", "checkpoint", "probed_bytes", "read_only"].some(one => Boolean(before[one]) !== Boolean(now[one])) || before.state !== now.state;
    shown = key;
    const isAlive = ["running", "starting", "queued"].includes(now.state);
    const button = (text, onclick, kind = "") => h("button", {type: "button", class: kind, onclick}, text);
    if (canChanged) {
      const {solves, writes} = experiments[now.experiment] ?? {};
      actions.replaceChildren(...[
        isAlive && !now.read_only && button(now.state === "queued" ? "Take from the queue" : "Stop and save", () => act("/api/stop", () => notify(`${name} is asked to save and end`))),
        !now.read_only && ["stopped", "killed", "failed", "unknown"].includes(now.state) && now.experiment && button("Resume", () => { act("/api/resume", () => notify(`${name} goes on`)); }, "primary"),
        now.experiment && h("a", {class: "button", href: link("new", {from: name})}, "Duplicate with changes"),
        (now.probed_bytes || solves || writes) && h("a", {class: "button", href: link("think", {run: name})}, "See it think"),
        now.checkpoint && (solves || writes) && h("a", {class: "button", href: link("try", {run: name, what: writes ? "code" : ""})}, "Try it"),
        h("a", {class: "button", href: `/api/csv?${query({run: name})}`, download: `${name.replaceAll("/", "-")}.csv`}, "CSV"),
        !isAlive && !now.read_only && button("Delete", remove, "danger")].filter(Boolean));
      if (!tagging.firstChild && !now.read_only && now.state !== "queued") tagging.append(tagForm(name, now.tags));
    }
    const fact = (title, text, about) => h("div", {title: about}, h("dt", {}, title), h("dd", {}, text));
    const latest = now.latest;
    title.replaceChildren(...[h("h1", {}, name), h("span", {class: `state ${now.state}`}, now.state), now.read_only && h("span", {class: "quiet small", title: "Its folder is only read"}, "read only")].filter(Boolean));
    about.textContent = [now.description, now.message].filter(Boolean).join(" · ");
    bar.replaceChildren(progress(now));
    facts.replaceChildren(...[
      fact("step", now.steps ? `${now.step} / ${now.steps}` : String(now.step), "Steps of the optimiser that are done"),
      left(now) && fact("time left", left(now).replace(" left", ""), "From the speed of the last record"),
      "train/loss" in latest && fact("loss", number(latest["train/loss"]), "Mean of the last record"),
      "validation/exact_accuracy" in latest && fact("solved", number(latest["validation/exact_accuracy"], "accuracy"), "Held-out puzzles, at the last evaluation"),
      "telemetry/steps_per_second" in latest && fact("steps/s", number(latest["telemetry/steps_per_second"]), "Since the record before the last"),
      "telemetry/gradient_norm" in latest && fact("gradient", number(latest["telemetry/gradient_norm"]), "Norm of the parameters' gradient"),
      "telemetry/device_memory_bytes" in latest && fact("device memory", bytes(latest["telemetry/device_memory_bytes"]), "In use on the first device"),
      "telemetry/memory_bytes" in latest && fact("memory", bytes(latest["telemetry/memory_bytes"]), "Of the process, resident"),
      now.parameters && fact("parameters", now.parameters.toLocaleString("en"), "Numbers that are trained"),
      now.updated && fact("last record", isAlive ? `${duration(Math.max(0, Date.now() / 1000 - now.updated))} ago` : new Date(1000 * now.updated).toLocaleString([], {dateStyle: "short", timeStyle: "short"}), "When the last record was written")].filter(Boolean));
  }

  const isWaiting = () => runs.get(name)?.state === "queued";

  async function read() {
    if (isWaiting()) {
      output.textContent = "It waits; there is no output yet.";
      return;
    }
    const text = await attempt(`/api/output?${query({run: name})}`, undefined, isGone);
    if (text === null || isOver) return;
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
    output.textContent = text || "Nothing was printed, or the run was started from a shell.";
    if (atEnd) output.scrollTop = output.scrollHeight;
  }

  async function readConfig() {
    if (isWaiting()) return;
    const found = await attempt(`/api/config?${query({run: name})}`, undefined, isGone);
    if (!found || isOver) return;
    config.replaceChildren(h("table", {class: "plain"}, h("tbody", {}, Object.entries(found.values).map(([path, value]) =>
      h("tr", {}, h("th", {scope: "row"}, h("code", {}, path)), h("td", {}, h("code", {}, value)))))));
  }

  show();
  read();
  readConfig();
  const end = listen((names, kind) => {
    if (kind === "system" || kind === "lost" || !names.includes(name) || !runs.has(name)) return;
    show();
    read();
    if (!config.firstChild) readConfig();
  });
  const element = h("div", {class: "stack"}, head,
    figures.element,
    h("section", {class: "card stack"}, h("h2", {}, "Output"), output),
    h("details", {class: "card", ontoggle: event => event.target.open && readConfig()}, h("summary", {}, "Configuration"), config));
  return {element, end: () => { isOver = true; end(); figures.end(); }};
}

/** What a person calls a run, beside its name. */
function tagForm(name, tags) {
  const field = h("input", {type: "text", id: "tags", value: tags.join(" "), autocomplete: "off", spellcheck: "false", placeholder: "words, such as baseline"});
  return h("form", {class: "row tight", onsubmit: async event => {
    event.preventDefault();
    const wanted = field.value.split(/[\s,]+/).filter(Boolean);
    if (await attempt("/api/tags", {name, tags: wanted})) notify(wanted.length ? "The tags are kept" : "It has no tags any more");
  }}, h("label", {for: "tags", class: "small", title: "By tags runs are filtered and grouped under Watch"}, "Tags"), field, h("button", {}, "Keep"));
}
