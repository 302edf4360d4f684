/** What the page knows of the runs, and how it asks for more. */
import {notify} from "./dom.js";

export const runs = new Map();
/** What can be started, and whether models of it solve puzzles or write code, by name. */
export const experiments = {};
export let system = {};
const listeners = new Set();
const told = new Set();
let connected = false;
const AGAIN = 1000;
const NEW_SECONDS = 60;

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  if (response.status === 401) throw new Unknown();
  const type = response.headers.get("content-type") ?? "";
  const value = type.includes("json") && !type.includes("ndjson") ? await response.json() : await response.text();
  if (response.ok) return value;
  const why = value?.error?.message ?? `the studio answered ${response.status}`;
  throw response.status === 404 ? new Gone(why) : new Error(why);
}

/** Asks, and calls `take` with the value of each line of JSON as it comes. */
export async function askLines(path, body, signal, take) {
  let response;
  try {
    response = await fetch(path, {method: "POST", signal, headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
  } catch (error) {
    throw error instanceof TypeError ? new Error("The studio does not answer; is it still running?") : error;
  }
  if (!response.ok) throw new Error((await response.json()).error.message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.filter(Boolean).forEach(line => take(JSON.parse(line)));
  }
}

export class Unknown extends Error {}

/** There is none of what was asked for, or not any more. */
export class Gone extends Error {}

/** Asks, and tells what went wrong in place of throwing; returns null then. Nothing is told where
 * `isOver()`: of a view that was left, or of a run that a person has just removed; nor to a view that
 * gives it of what is not there any more, which the list of runs tells it. */
export async function attempt(path, body, isOver) {
  try {
    return await ask(path, body);
  } catch (error) {
    const isQuiet = isOver && (isOver() || error instanceof Gone);
    if (!isQuiet) notify(error instanceof TypeError ? "The studio does not answer; is it still running?" : error.message, {bad: true});
    return null;
  }
}

export const query = values => new URLSearchParams(
  Object.entries(values).flatMap(([k, v]) => (Array.isArray(v) ? v : [v]).filter(x => x !== undefined && x !== "").map(x => [k, x])));

/** Calls `listener(names)` with the names of runs that changed; returns how to end that. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (names, kind) => listeners.forEach(listener => listener(names, kind));

/** Listens to the studio. `first` is called once all runs are known, `refused` where a studio that was
 * started again wants a token. */
export function connect(first, refused) {
  const source = new EventSource("/api/events");
  source.addEventListener("all", event => {
    const now = JSON.parse(event.data);
    const gone = [...runs.keys()].filter(name => !(name in now.runs));
    gone.forEach(remove);
    Object.values(now.runs).forEach(take);
    system = now.system;
    if (!connected) first();
    connected = true;
    tell([...runs.keys(), ...gone], "all");
  });
  source.addEventListener("runs", event => {
    const {runs: changed, gone} = JSON.parse(event.data);
    Object.values(changed).forEach(take);
    gone.forEach(remove);
    tell([...Object.keys(changed), ...gone], "runs");
  });
  source.addEventListener("system", event => { system = JSON.parse(event.data); tell([], "system"); });
  source.addEventListener("trouble", event => notify(JSON.parse(event.data).message, {bad: true}));
  source.addEventListener("error", () => {
    tell([], "lost");
    // A browser does not try again by itself where it was refused: a studio that was started again has
    // another cookie, which its first page brings.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => again(first, refused), AGAIN);
  });
}

async function again(first, refused) {
  try {
    await fetch("/", {cache: "no-store"});
    await ask("/api/experiments");
    connect(first, refused);
  } catch (error) {
    if (error instanceof Unknown) refused();
    else setTimeout(() => again(first, refused), AGAIN);
  }
}

function take(run) {
  tellEnd(runs.get(run.name), run);
  tellTrouble(run);
  runs.set(run.name, run);
}

function remove(name) {
  runs.delete(name);
  told.delete(name);
}

/** Tells once of each run that it seems to diverge; not of what had happened before the page was opened,
 * or of old logs that are only being read now. */
function tellTrouble(run) {
  if (!run.trouble || told.has(run.name)) return;
  told.add(run.name);
  const isNew = Date.now() / 1000 - (run.updated ?? 0) < NEW_SECONDS;
  if (connected && isNew) notify(`${run.name}: ${run.trouble}`, {bad: true, action: "Show it", onaction: () => { location.hash = link("run", {name: run.name}); }});
}

function tellEnd(before, run) {
  if (!before || before.state === run.state) return;
  const words = {
    finished: "has finished", stopped: "is stopped and saved", failed: "failed",
    killed: "was killed; it can be resumed from its last checkpoint",
  };
  if (!(run.state in words)) return;
  const bad = run.state === "failed" || run.state === "killed";
  notify(`${run.name} ${words[run.state]}${run.state === "failed" && run.message ? `: ${run.message}` : ""}`, {bad});
}

/** Names in the address: a name may have a comma in it. */
export const asList = names => [...names].map(name => name.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",") || "none";
export const fromList = text => text.split(",").map(name => name.replaceAll("%2C", ",").replaceAll("%25", "%")).filter(Boolean);

/** The address: a view and its settings. */
export function address() {
  const [path, rest = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return {view: path || "watch", settings: new URLSearchParams(rest)};
}

export const link = (view, settings = {}) => `#/${view}${Object.keys(settings).length ? `?${query(settings)}` : ""}`;

/** Changes settings of the address without going anywhere; `isStep`: the browser's button goes back. */
export function remember(changes, isStep = false) {
  const {view, settings} = address();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined || value === false) settings.delete(name);
    else settings.set(name, value);
  }
  const text = settings.toString();
  history[isStep ? "pushState" : "replaceState"](null, "", `#/${view}${text ? `?${text}` : ""}`);
}

/** Parts of figures that the address names, `first:last:figure`, as a map of `[first, last]`. */
export function zoomsOf(settings) {
  const parts = fromList(settings.get("zoom") ?? "").map(text => text.match(/^([^:]+):([^:]+):(.+)$/)).filter(Boolean);
  return new Map(parts.map(([, first, last, name]) => [name, [Number(first), Number(last)]]).filter(([, [first, last]]) => last > first));
}

const zoomText = zooms => zooms.size ? asList([...zooms].map(([name, [first, last]]) => `${first}:${last}:${name}`)) : "";

/** Goes to a part of a figure, or to the whole where `range` is null: a step that can be gone back. */
export function zoomTo(name, range) {
  const zooms = zoomsOf(address().settings);
  if (range) zooms.set(name, range);
  else zooms.delete(name);
  remember({}); // written in one way, so that going back is seen to change the part alone
  remember({zoom: zoomText(zooms)}, true);
}

/** Whether two addresses differ by parts of figures alone. */
export function isZoomAlone(before, after) {
  const [rest, others] = [before, after].map(url => url.replace(/([?&])zoom=[^&]*&?/, "$1").replace(/[?&]$/, ""));
  return before !== after && rest === others;
}
