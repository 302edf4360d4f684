/** A figure with a curve for each run. */
import uPlot from "./uplot.js";
import {curvesOf, smooth, trouble} from "./curves.js";
import {duration, h, number} from "./dom.js";
import {bestSoFar, explain, isShare} from "./explain.js";

// Okabe and Ito's colours, told apart by colour-blind people; darker on light paper, lighter on dark.
const LIGHT = ["#0a66a8", "#c04e00", "#007a59", "#a8447f", "#6b5b00", "#2b2f38", "#3f86c4", "#7a3fa0"];
const DARK = ["#6db7f2", "#ff9d5c", "#3fd0a4", "#eea3cf", "#e6cf4a", "#e4e4e4", "#9fd0ff", "#c9a4f0"];
// So many points are marked each.
const FEW = 30;
const HUGE = 7e307;
const dark = matchMedia("(prefers-color-scheme: dark)");
export const colour = index => (dark.matches ? DARK : LIGHT)[index % LIGHT.length];
const dash = index => index < LIGHT.length ? undefined : [6, 4];
const ink = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What of the axis is seen: some room around the values, and a share is never outside of 0 to 1. */
function rangeOf(lowest, highest, areShares) {
  if (lowest === null || highest === null) return [0, 1];
  // Between the largest numbers of both signs there is more than a number can say.
  const low = Math.max(lowest, -HUGE), high = Math.min(highest, HUGE);
  if (areShares && high - low < 1e-9) return [0, Math.max(1e-3, low === 0 ? 1 : Math.min(1, 2 * low))];
  const room = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.1 || 1;
  return areShares ? [Math.max(0, low - room), Math.min(1, high + room)] : [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

/** Ticks with as many decimals as tell them apart. */
function tickTexts(ticks, metric, areShares) {
  const known = ticks.filter(t => t !== null);
  const apart = known.length > 1 ? Math.abs(known[1] - known[0]) : 1;
  const scale = areShares ? 100 : 1;
  const isWhole = value => Math.abs(value - Math.round(value)) < 1e-6;
  const decimals = [0, 1, 2, 3, 4, 5].find(digits => isWhole(apart * scale * 10 ** digits)) ?? 6;
  return ticks.map(t => {
    if (t === null) return "";
    if (/_bytes$/.test(metric)) return number(t, metric);
    const size = Math.abs(t);
    if (size >= 1e5 || (t !== 0 && apart < 1e-3 && !areShares)) return t.toExponential(1);
    return `${(scale * t).toFixed(decimals)}${areShares ? " %" : ""}`;
  });
}

/** The part between two places of an axis, with as many digits as tell them apart. */
function rounded([first, last]) {
  const scale = 10 ** Math.max(0, Math.ceil(3 - Math.log10(last - first)));
  return [first, last].map(x => Math.round(scale * x) / scale);
}

/** The first time of a log; null where it tells none. */
const startOf = times => times.find(time => time !== null) ?? null;

export class Chart {
  /** A figure of the curves of a name. It shows the part `range` of its axis, or the whole where that is
   * null; `zooming(range)` is called where somebody asks for another. */
  constructor(name, settings, range, zooming) {
    this.name = name;
    this.settings = settings;
    this.range = range;
    this.zooming = zooming;
    this.parts = new Map();
    this.runs = [];
    this.plot = h("div", {class: "plot", role: "img", tabindex: "0", "aria-keyshortcuts": "ArrowLeft ArrowRight + - Escape", onkeydown: event => this.pressed(event)});
    this.said = h("p", {class: "spoken", role: "status"});
    this.isSeen = false;
    this.hint = h("p", {class: "hint"}, explain(name));
    this.warning = h("p", {class: "warn"});
    this.back = h("button", {type: "button", class: "plain", hidden: !range, onclick: () => { this.zooming(null); this.plot.focus(); }}, "whole");
    const last = name.split("/").at(-1).replaceAll("_", " ");
    this.card = h("section", {class: "card chart", "aria-label": name},
      h("header", {}, h("h2", {title: explain(name)}, last, h("span", {class: "quiet small"}, ` ${name.split("/")[0]}`)),
        this.back,
        h("a", {class: "button plain", href: `#/guide?figure=${encodeURIComponent(name)}`, "aria-label": `What ${name} is`, title: "What this figure is"}, "?"),
        h("button", {type: "button", class: "plain", "aria-label": `PNG of ${name}`, title: "Save as PNG", onclick: () => this.save()}, "PNG")),
      this.hint, this.plot, this.said, this.warning);
    new ResizeObserver(() => this.resize()).observe(this.plot);
    // Drawing is what takes time where there are many figures: those out of sight wait.
    new IntersectionObserver(entries => {
      this.isSeen = entries.at(-1).isIntersecting;
      if (this.isSeen && this.isStale) this.draw(this.runs);
    }, {rootMargin: "200px"}).observe(this.card);
  }

  resize() {
    const width = this.plot.clientWidth;
    if (this.u && width && Math.abs(width - this.u.width) > 1) this.u.setSize({width, height: 230});
  }

  /** Draws runs, which are `[name, colour's number]`. */
  draw(runs) {
    this.runs = runs;
    const parts = runs.map(([run]) => [run, this.points(run)]).filter(([, points]) => points?.values.length);
    this.card.hidden = parts.length === 0;
    if (!parts.length) return;
    const isInside = ([run]) => curvesOf(run).curves.get(this.name).values.every(value => value === null || (value >= 0 && value <= 1));
    this.areShares = isShare(this.name) && parts.every(isInside);
    this.tell(parts);
    this.isStale = !this.isSeen;
    if (this.isStale) return;
    if (this.range) this.fetchParts();
    const byTime = this.settings.x === "time";
    const tables = parts.map(([, points]) => {
      const x = byTime ? points.times.map(t => t === null ? null : t - points.start) : points.steps;
      const measured = this.settings.best ? bestSoFar(this.name, [...points.before, ...points.values]).slice(points.before.length) : points.values;
      const even = smooth(measured, this.settings.smooth);
      // On a logarithmic axis there is no step 0.
      const least = this.settings.x === "logstep" ? 0 : -Infinity;
      const order = x.map((_, i) => i).filter(i => x[i] !== null && x[i] > least && (i === 0 || x[i] > x[i - 1] || !byTime));
      const distinct = order.filter((i, k) => k === 0 || x[i] !== x[order[k - 1]]);
      return [distinct.map(i => x[i]), distinct.map(i => even[i]), ...(this.settings.smooth ? [distinct.map(i => points.values[i])] : [])];
    });
    const data = tables.length > 1 ? uPlot.join(tables) : tables[0];
    const key = `${parts.map(([run]) => run)}|${JSON.stringify(this.settings)}|${this.range}|${this.areShares}|${data[0].length < FEW}|${dark.matches}`;
    if (this.u && key === this.key) this.u.setData(data);
    else this.build(data, parts, key);
  }

  /** The keyboard does what the mouse does: points at values, zooms in and out. */
  pressed(event) {
    if (!this.u) return;
    const xs = this.u.data[0], {idx, left} = this.u.cursor;
    const at = left >= 0 ? idx ?? xs.length - 1 : xs.length - 1;
    const go = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10}[event.key];
    if (go) {
      const next = Math.min(xs.length - 1, Math.max(0, left >= 0 ? at + go : at));
      this.u.setCursor({left: this.u.valToPos(xs[next], "x"), top: 10});
      this.said.textContent = this.tip?.innerText.replaceAll("\n", " ") ?? "";
    } else if (event.key === "+" || event.key === "=") {
      const half = (this.u.scales.x.max - this.u.scales.x.min) / 4;
      this.ask([Math.max(xs[0], xs[at] - half), Math.min(xs.at(-1), xs[at] + half)]);
    } else if (this.range && (event.key === "-" || event.key === "Escape")) this.zooming(null);
    else return;
    event.preventDefault();
  }

  points(run) {
    const whole = curvesOf(run).curves.get(this.name);
    if (!whole) return null;
    const part = this.parts.get(run)?.curve;
    const start = startOf(whole.times);
    if (!part?.values.length) return {...whole, start, before: []};
    return {...part, start, before: whole.values.filter((_, i) => whole.steps[i] < part.steps[0])};
  }

  build(data, parts, key) {
    this.u?.destroy();
    this.key = key;
    const numberOf = new Map(this.runs);
    const series = [{}];
    for (const [run] of parts) {
      const line = {label: run, stroke: colour(numberOf.get(run)), dash: dash(numberOf.get(run)), width: 2, spanGaps: true, points: {show: false}};
      if (data[0].length < FEW) line.points = {show: true, size: 6, fill: line.stroke};
      series.push(line);
      if (this.settings.smooth) series.push({...line, label: "", stroke: `${line.stroke}44`, width: 1, points: {show: false}});
    }
    const byTime = this.settings.x === "time";
    const isLog = this.settings.log && data.slice(1).every(values => values.every(v => !(v <= 0) || v === null || v === undefined));
    this.hint.textContent = explain(this.name) + (this.settings.log && !isLog ? " Its axis is not logarithmic, as some values are 0 or less." : "");
    const axis = {stroke: ink("--soft"), grid: {stroke: ink("--line"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
    const {name: metric, areShares} = this;
    this.u = new uPlot({
      width: Math.max(this.plot.clientWidth, 200), height: 230, series,
      scales: {x: {time: false, ...(this.settings.x === "logstep" && {distr: 3}), ...(this.range && {range: () => this.range})}, y: isLog ? {distr: 3} : {range: (_, low, high) => rangeOf(low, high, areShares)}},
      axes: [
        {...axis, size: 28, values: (_, ticks) => ticks.map(t => byTime ? duration(t) : t >= 1e4 ? `${t / 1e3}k` : t)},
        {...axis, size: 58, values: (_, ticks) => tickTexts(ticks, metric, areShares)},
      ],
      cursor: {drag: {x: true, y: false, setScale: false}, points: {size: 7}},
      hooks: {
        setSelect: [u => this.selected(u)],
        setCursor: [u => this.point(u, parts)],
      },
    }, data, this.plot);
    this.u.over.addEventListener("dblclick", () => this.range && this.zooming(null));
    this.u.over.addEventListener("mouseleave", () => this.tip?.remove());
  }

  selected(u) {
    if (u.select.width < 6) return;
    const range = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
    this.ask(range);
  }

  /** Asks for a part, in no more digits than the address need hold. */
  ask([first, last]) {
    if (last > first) this.zooming(rounded([first, last]));
  }

  /** Shows a part in full detail, or the whole. */
  show(range) {
    if (String(range) === String(this.range)) return;
    this.range = range;
    this.parts = new Map();
    this.back.hidden = !range;
    this.draw(this.runs);
  }

  /** The steps of a run between two places of the axis. */
  stepsOf([first, last], {steps, times}) {
    if (this.settings.x !== "time") return [Math.floor(first), Math.ceil(last)];
    const start = startOf(times);
    const at = x => { const i = times.findIndex(t => t !== null && t - start >= x); return i < 0 ? steps.length - 1 : i; };
    // The curve is thinned: the part may begin between two of its points.
    return [steps[Math.max(0, at(first) - 1)], steps[at(last)]];
  }

  /** Fetches what is seen in full detail; until it is there, what is known of the whole is drawn. */
  async fetchParts() {
    const parts = this.parts;
    const found = await Promise.all(this.runs.map(async ([run]) => {
      const curves = curvesOf(run);
      const whole = curves.curves.get(this.name);
      if (!whole?.values.length) return false;
      const [first, last] = this.stepsOf(this.range, whole);
      // A run that has not come to the part's end is asked again when it has come further.
      const state = `${curves.generation} ${whole.steps.at(-1) > last ? "end" : whole.count}`;
      if (parts.get(run)?.state === state) return false;
      parts.set(run, {...parts.get(run), state});
      try {
        parts.set(run, {state, curve: await curves.within(this.name, first, last)});
        return true;
      } catch {
        return false; // the run is gone, or the studio: both are told where runs are
      }
    }));
    if (parts === this.parts && found.some(Boolean)) this.draw(this.runs);
  }

  point(u, parts) {
    this.tip?.remove();
    const index = u.cursor.idx;
    if (index === null || index === undefined || u.cursor.left < 0) return;
    const stride = this.settings.smooth ? 2 : 1;
    const x = u.data[0][index];
    const rows = parts.slice(0, 8).map(([run], k) => {
      const column = u.data[1 + k * stride];
      let i = index;
      while (i > 0 && (column[i] === null || column[i] === undefined)) i--;
      const dot = h("i", {class: "swatch"});
      dot.style.background = u.series[1 + k * stride].stroke();
      return h("div", {}, dot, h("span", {}, run), h("b", {}, this.text(column[i])));
    });
    this.tip = h("div", {class: "tip", "aria-hidden": "true"}, h("div", {}, this.settings.x === "time" ? duration(x) : `step ${x}`), rows);
    this.card.append(this.tip);
    const left = this.plot.offsetLeft + u.bbox.left / devicePixelRatio + u.cursor.left;
    const flips = left > this.card.clientWidth / 2;
    this.tip.style.top = `${this.plot.offsetTop + 6}px`;
    this.tip.style.left = `${flips ? Math.max(4, left - this.tip.offsetWidth - 12) : left + 12}px`;
  }

  /** A value as it is read; other code's shares may be percents already. */
  text(value) {
    return number(value, isShare(this.name) && !this.areShares ? "" : this.name);
  }

  tell(parts) {
    const said = parts.slice(0, 5).map(([run, points]) => `${run}: ${this.text(points.values.at(-1))}`);
    this.plot.setAttribute("aria-label", `${this.name}, last values. ${said.join("; ")}`);
    const isLoss = /(^|\/)loss$/.test(this.name);
    const wrong = isLoss ? parts.map(([run]) => [run, trouble(curvesOf(run).curves.get(this.name)?.values ?? [])]).filter(([, why]) => why) : [];
    const untimed = this.settings.x === "time" ? parts.filter(([, points]) => points.start === null) : [];
    this.warning.textContent = [...wrong.map(([run, why]) => `${run}: the loss ${why}`), ...untimed.map(([run]) => `${run}: its log tells no times`)].join("; ");
  }

  /** Saves the figure as it is seen, on paper, with the names of the runs. */
  save() {
    this.isSeen = true; // a person has it under the hand, though it may not be drawn yet
    if (this.isStale) this.draw(this.runs);
    const drawn = this.u.ctx.canvas;
    const canvas = h("canvas");
    canvas.width = drawn.width;
    canvas.height = drawn.height + 64;
    const context = canvas.getContext("2d");
    context.fillStyle = ink("--card");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = ink("--ink");
    context.font = "20px system-ui, sans-serif";
    context.fillText(this.name, 16, 28);
    context.drawImage(drawn, 0, 64);
    context.font = "14px system-ui, sans-serif";
    let left = 16;
    for (const [run, index] of this.runs.filter(([name]) => curvesOf(name).curves.has(this.name))) {
      context.fillStyle = colour(index);
      context.fillText(run, left, 52);
      left += context.measureText(run).width + 16;
    }
    canvas.toBlob(blob => {
      const url = URL.createObjectURL(blob);
      h("a", {href: url, download: `${this.name.replaceAll("/", "-")}.png`}).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    });
  }
}

/** Calls `listener` when light becomes dark or the other way round; returns how to end that. */
export function onThemeChange(listener) {
  const told = () => listener();
  dark.addEventListener("change", told);
  return () => dark.removeEventListener("change", told);
}
