/** Elements. Texts are only ever texts: nothing here reads HTML. */
import {isShare} from "./explain.js";

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && typeof value !== "string") node[name] = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** The same for drawings. */
export function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}

export const byId = id => document.getElementById(id);

/** Tells something in the corner; goes away by itself unless it is bad. */
export function notify(text, {bad = false, action, onaction} = {}) {
  const close = () => note.remove();
  const note = h("div", {class: bad ? "notice bad" : "notice"}, h("p", {}, text),
    action && h("button", {type: "button", onclick: () => { close(); onaction(); }}, action),
    h("button", {type: "button", class: "plain", "aria-label": "Close this notice", onclick: close}, "✕"));
  const notices = byId("notices");
  // What is told again and again, such as that a disk is full, stands there once, and is read out once.
  const before = [...notices.children].find(other => other.firstChild.textContent === text);
  if (before && bad && !action) return;
  before?.remove();
  if (notices.children.length > 4) notices.firstChild.remove();
  notices.append(note);
  if (!bad) setTimeout(close, 12000);
}

const DAY = 86400;
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * DAY) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / DAY).toFixed(1)} d`;
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  const power = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(count, 1)) / 10)));
  return `${(count / 1024 ** power).toFixed(power > 2 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

export function number(value, name = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (isShare(name) && Math.abs(value) <= 1) return `${(100 * value).toFixed(1)} %`;
  if (/_bytes$/.test(name)) return bytes(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : value.toPrecision(4);
}
