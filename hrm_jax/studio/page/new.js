/** A form made of an experiment's configuration. */
import {byId, h, notify} from "./dom.js";
import {ask, attempt, link, query, runs} from "./store.js";

const pad = value => String(value).padStart(2, "0");

function freeName(experiment) {
  const now = new Date();
  const base = `${experiment}-${now.getFullYear()}${pad(now.getMonth() + 1)}${pad(now.getDate())}-${pad(now.getHours())}${pad(now.getMinutes())}`;
  let name = base;
  for (let i = 2; runs.has(name); i++) name = `${base}-${i}`;
  return name;
}

export function create(settings) {
  const from = settings.get("from");
  const body = h("div", {}, h("p", {class: "quiet", role: "status"}, "Reading the configurations ..."));
  const element = h("div", {class: "stack"}, h("h1", {}, from ? `A run like ${from}` : "New run"), body);
  let ended = false;
  form(settings).then(found => ended || body.replaceChildren(found),
    error => ended || body.replaceChildren(h("p", {class: "warn problem", role: "alert"}, error.message)));
  return {element, end: () => { ended = true; }};
}

/** The form itself, as soon as the studio has loaded the experiments. */
async function form(settings) {
  const [{folder}, {presets: experiments}] = await Promise.all([ask("/api/experiments"), ask("/api/presets")]);
  if (!Object.keys(experiments).length) throw new Error("There is no experiment that could be started; the studio's output says what is missing.");
  const from = settings.get("from");
  const origin = from ? await attempt(`/api/config?${query({run: from})}`) : null;
  let experiment = origin?.experiment || settings.get("experiment") || Object.keys(experiments)[0];
  if (!(experiment in experiments)) experiment = Object.keys(experiments)[0];
  let preset = settings.get("preset");
  let base = [];
  const texts = new Map();
  const fieldsOf = h("div", {class: "stack"});
  const command = h("pre", {tabindex: "0", role: "group", "aria-label": "Equivalent command line"});
  const trouble = h("p", {class: "warn", role: "status"});
  const about = h("p", {class: "quiet"});
  const name = h("input", {type: "text", id: "name", value: "", required: true, autocomplete: "off", spellcheck: "false", oninput: () => showCommand()});
  const start = h("button", {type: "submit", class: "primary"}, "Start");
  const queue = h("button", {type: "button", onclick: () => submit(true), title: "It begins when no other run is trained"}, "Add to the queue");
  const rows = new Map();
  let answer = {command: ""}, asked = 0;

  const presetChoice = h("select", {id: "preset", onchange: event => { preset = event.target.value; texts.clear(); load(); }});
  const experimentChoice = h("select", {id: "experiment", onchange: event => { experiment = event.target.value; preset = null; texts.clear(); name.value = freeName(experiment); load(); }},
    Object.keys(experiments).map(key => h("option", {value: key, selected: key === experiment}, key)));

  function showPresets() {
    const presets = experiments[experiment];
    if (!(preset in presets)) preset = "minute" in presets && !origin ? "minute" : Object.keys(presets)[0];
    presetChoice.replaceChildren(...Object.keys(presets).map(key => h("option", {value: key, selected: key === preset}, key)));
    about.textContent = presets[preset];
  }

  /** The preset that a run differs least from. */
  async function nearest() {
    const found = await Promise.all(Object.keys(experiments[experiment]).map(async key => {
      const {fields} = await ask(`/api/form?${query({experiment, preset: key})}`);
      // A part that the run has not, such as of another kind of puzzle, differs as well.
      const differs = f => !(f.path in origin.values) || (!f.fixed && plain(origin.values[f.path]) !== plain(f.value));
      return [key, fields.filter(differs).length, fields];
    }));
    found.sort((a, b) => a[1] - b[1]);
    preset = found[0][0];
    for (const field of found[0][2]) {
      const value = origin.values[field.path];
      if (!field.fixed && value !== undefined && plain(value) !== plain(field.value)) texts.set(field.path, value);
    }
  }
  // JSON has lists where Python has tuples.
  const plain = text => text.replace(/[[\]()]/g, "").replace(/,\s*$/, "");

  async function load() {
    showPresets();
    const found = await attempt(`/api/form?${query({experiment, preset})}`);
    if (!found) return;
    base = found.fields;
    rows.clear();
    const groups = new Map();
    for (const field of base) {
      const group = field.path.includes(".") ? field.path.split(".")[0] : "general";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(makeField(field));
    }
    const first = ["general", "loop", "optim", "model", "data"];
    const order = [...groups.keys()].sort((a, b) => (first.indexOf(a) + 1 || 9) - (first.indexOf(b) + 1 || 9));
    fieldsOf.replaceChildren(...order.map(group => {
      const inside = h("div", {class: "fields"}, groups.get(group));
      const isOpen = group === "general" || group === "loop" || group === "optim";
      return h("details", {class: "card", open: isOpen}, h("summary", {}, group), inside);
    }));
    check();
  }

  function makeField(field) {
    const id = `field-${field.path}`;
    const changed = event => { texts.set(field.path, event.target.value); checkSoon(); };
    const value = texts.get(field.path) ?? field.value;
    const control = field.choices.length
      ? h("select", {id, onchange: changed, disabled: field.fixed}, field.choices.map(choice => h("option", {value: choice, selected: choice === value}, choice)))
      : h("input", {type: "text", id, value, oninput: changed, disabled: field.fixed, autocomplete: "off", spellcheck: "false"});
    const problem = h("span", {class: "problem", id: `${id}-problem`});
    control.setAttribute("aria-describedby", `${id}-help ${id}-problem`);
    const kind = field.fixed ? "as the preset has it" : field.allowed || field.type;
    const row = h("div", {class: "field"}, h("label", {for: id}, field.path.split(".").slice(-2).join(".")), control,
      h("span", {class: "help", id: `${id}-help`}, [field.help, kind].filter(Boolean).join("; ")), problem);
    rows.set(field.path, {row, problem, control});
    return row;
  }

  let timer;
  const checkSoon = () => { clearTimeout(timer); timer = setTimeout(check, 150); };

  async function check() {
    const number = ++asked;
    const found = await attempt("/api/check", {experiment, preset, texts: Object.fromEntries(texts)});
    if (!found || number !== asked) return;
    answer = found;
    const others = [];
    for (const {row, problem, control} of rows.values()) {
      row.classList.remove("wrong", "changed");
      problem.textContent = "";
      control.removeAttribute("aria-invalid");
    }
    for (const [path, text] of Object.entries(found.problems)) {
      const field = rows.get(path);
      if (!field) { others.push(path ? `${path}: ${text}` : text); continue; }
      field.row.classList.add("wrong");
      field.row.closest("details").open = true;
      field.problem.textContent = text;
      field.control.setAttribute("aria-invalid", "true");
    }
    for (const path of found.changed) rows.get(path)?.row.classList.add("changed");
    const count = Object.keys(found.problems).length;
    trouble.textContent = others.join("; ") || (count ? `${count} ${count === 1 ? "field needs" : "fields need"} another value` : "");
    start.disabled = queue.disabled = count > 0;
    showCommand();
  }

  function showCommand() {
    const quoted = /^[\w./-]+$/.test(`${folder}/${name.value}`) ? `${folder}/${name.value}` : `'${`${folder}/${name.value}`.replaceAll("'", "'\\''")}'`;
    command.textContent = answer.command ? `${answer.command} --run=${quoted}` : "";
  }

  async function submit(queued) {
    const body = {experiment, preset, texts: Object.fromEntries(texts), name: name.value.trim(), queued};
    if (await attempt("/api/start", body)) {
      notify(queued ? `${body.name} waits in the queue` : `${body.name} starts`);
      location.hash = link("run", {name: body.name});
    }
  }

  if (origin) {
    await nearest();
    preset ??= null;
  }
  name.value = freeName(experiment);
  await load();
  return h("form", {class: "form", onsubmit: event => { event.preventDefault(); submit(false); }},
    h("div", {class: "card stack"},
      h("div", {class: "fields"},
        h("div", {class: "field"}, h("label", {for: "experiment"}, "Experiment"), experimentChoice),
        h("div", {class: "field"}, h("label", {for: "preset"}, "Preset"), presetChoice),
        h("div", {class: "field"}, h("label", {for: "name"}, "Name"), name, h("span", {class: "help"}, `its folder, below ${folder}`))),
      about),
    fieldsOf,
    h("div", {class: "sticky"}, trouble, command,
      h("div", {class: "row tight"}, start, queue, h("button", {type: "button", onclick: () => copy(command.textContent)}, "Copy the command"))));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    notify("The command is copied");
  } catch {
    getSelection().selectAllChildren(byId("main").querySelector(".sticky pre"));
    notify("The command is selected; copy it with the keyboard");
  }
}
