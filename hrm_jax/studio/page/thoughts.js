/** What a model of text believes comes next, and where its levels still move. */
import {h} from "./dom.js";

const seen = text => text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "·");

/** Returns what is shown of one prompt; null where nothing was kept. */
export function believed(kept) {
  if (!kept) return null;
  const rows = ["L", "H"].flatMap(level => (kept[level] ?? []).map((call, i) => [`${level} ${i + 1}`, call]));
  return h("div", {class: "stack tight"}, next(kept.next ?? []), rows.length ? moved(kept.tokens ?? [], rows) : null);
}

function next(likeliest) {
  return h("div", {}, h("h2", {class: "small", title: "The likeliest tokens right after the prompt, before temperature"}, "Next token"),
    h("ol", {class: "next"}, likeliest.map(([text, percent]) => {
      const bar = h("i", {"aria-hidden": "true"});
      bar.style.width = `${Math.min(100, percent)}%`;
      return h("li", {}, h("code", {}, seen(String(text))), h("span", {class: "bar"}, bar), h("span", {class: "number"}, `${percent || "< 1"} %`));
    })));
}

function moved(tokens, rows) {
  const about = "For each call of the slow level (H) and the fast one (L): how far it moved its state at each token, in percent of the state's size. Where numbers grow small, the thought has settled.";
  return h("div", {}, h("h2", {class: "small", title: about}, "Where the states still move"),
    h("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": "Movement of the states"}, h("table", {class: "moved"},
      h("caption", {class: "spoken"}, about),
      h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "call"), tokens.map(token => h("th", {scope: "col"}, seen(String(token)))))),
      h("tbody", {}, rows.map(([name, call]) => h("tr", {}, h("th", {scope: "row"}, name), call.map(percent => {
        const cell = h("td", {}, String(percent));
        cell.style.setProperty("--much", `${Math.min(100, percent)}%`);
        return cell;
      }))))),
    ));
}
