/** Shows the view that the address names. */
import {compare} from "./compare.js";
import {byId, bytes, h, notify} from "./dom.js";
import {guide} from "./guide.js";
import {create} from "./new.js";
import {plans} from "./plans.js";
import {run} from "./run.js";
import {Unknown, address, ask, connect, experiments, isZoomAlone, listen, system} from "./store.js";
import {think} from "./think.js";
import {tryIt} from "./try.js";
import {watch} from "./watch.js";

const VIEWS = {watch, run, new: create, compare, think, try: tryIt, plans, guide};
let current = null, shown = 0;

async function show() {
  const {view, settings} = address();
  const number = ++shown;
  let next;
  try {
    next = await (VIEWS[view] ?? watch)(settings);
  } catch (error) {
    next = {element: h("div", {class: "stack"}, h("h1", {}, "This view cannot be shown"), h("p", {role: "alert"}, error.message))};
  }
  if (number !== shown) { next.end?.(); return; }
  current?.end?.();
  current = next;
  byId("main").replaceChildren(next.element);
  for (const a of document.querySelectorAll("header nav a")) {
    if (a.getAttribute("href") === `#/${view}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${next.element.querySelector("h1")?.textContent ?? "studio"} · hrm_jax studio`;
}

function showSystem(lost) {
  byId("system").textContent = lost ? "The studio does not answer ..." : system.memory_bytes
    ? `${Math.round(system.processor_percent)} % processors · ${bytes(system.memory_used_bytes)} of ${bytes(system.memory_bytes)} · ${bytes(system.disk_free_bytes)} free` : "";
}

/** Asks for a token where the studio listens to other machines. */
function login() {
  const token = h("input", {type: "password", id: "token", autocomplete: "current-password"});
  byId("main").replaceChildren(h("form", {class: "stack", onsubmit: async event => {
    event.preventDefault();
    try {
      await ask("/api/login", {token: token.value});
      await begin();
    } catch {
      notify("This token is not one of those in the file of --token_file", {bad: true});
    }
  }}, h("h1", {}, "Token"), h("div", {class: "field"}, h("label", {for: "token"}, "A token of the file that --token_file names"), token), h("div", {}, h("button", {class: "primary"}, "Enter"))));
  token.focus();
}

/** A defect of the page is told, as a view that stays empty would not say why. */
function tellDefects() {
  const tell = error => notify(`The page has failed: ${error.message ?? error}`, {bad: true});
  // What browsers say of layout, such as of a ResizeObserver, comes without an error.
  addEventListener("error", event => event.error && tell(event.error));
  addEventListener("unhandledrejection", event => event.reason && tell(event.reason));
}

async function begin() {
  try {
    Object.assign(experiments, (await ask("/api/experiments")).experiments);
  } catch (error) {
    if (error instanceof Unknown) login();
    else byId("main").replaceChildren(h("p", {}, `The studio does not answer: ${error.message}`));
    return;
  }
  listen((_, kind) => (kind === "system" || kind === "lost" || kind === "all") && showSystem(kind === "lost"));
  connect(show, () => location.reload());
  addEventListener("hashchange", event => {
    // The figures follow by themselves; what has the focus keeps it.
    if (isZoomAlone(event.oldURL, event.newURL)) return;
    show();
    byId("main").focus({preventScroll: true});
    scrollTo(0, 0);
  });
}

tellDefects();
begin();
