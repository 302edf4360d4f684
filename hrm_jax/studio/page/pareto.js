/** What accuracy costs: the best value of each run against time and parameters. */
import {colour} from "./chart.js";
import {curvesOf} from "./curves.js";
import {drawn, duration, h, number} from "./dom.js";
import {bestSoFar, inOrder, isLower, isShare} from "./explain.js";
import {runs} from "./store.js";

const WIDTH = 460, HEIGHT = 280, LEFT = 64, RIGHT = 16, TOP = 12, BOTTOM = 40;
const count = value => value >= 1e9 ? `${+(value / 1e9).toPrecision(3)} G` : value >= 1e6 ? `${+(value / 1e6).toPrecision(3)} M` : value >= 1e3 ? `${+(value / 1e3).toPrecision(3)} k` : String(value);

/** What a run reached, when, and how large it is. */
function reachedBy(name, metric) {
  const curve = curvesOf(name).curves.get(metric);
  const best = bestSoFar(metric, curve?.values ?? []).findLast(value => value !== null);
  if (best === undefined) return null;
  const first = Math.min(...[...curvesOf(name).curves.values()].map(one => one.times[0]).filter(Number.isFinite));
  const seconds = curve.times[curve.values.indexOf(best)] - first;
  return {name, best, seconds: Number.isFinite(seconds) ? Math.max(0, seconds) : null, parameters: runs.get(name)?.parameters};
}

/** Marks the runs that none beats in value without costing more. */
function onFront(points, cost, metric) {
  const isBetter = (a, b) => isLower(metric) ? a < b : a > b;
  return points.filter(one => !points.some(other => other !== one && other[cost] <= one[cost] && !isBetter(one.best, other.best) && (other[cost] < one[cost] || isBetter(other.best, one.best))));
}

export function pareto(names, chosen, wanted) {
  const known = inOrder(new Set(names.flatMap(name => curvesOf(name).names))).filter(one => isShare(one) || /accuracy|rate$|bits_per_byte|loss/.test(one) && !/learning_rate/.test(one));
  const section = h("section", {class: "card stack"}, h("h2", {title: "A run is on the front if none is at least as good at less cost"}, "What it costs"));
  if (!known.length) return null;
  const held = known.filter(one => one.startsWith("validation/"));
  let metric = known.includes(wanted) ? wanted : held[0] ?? known[0];
  const body = h("div", {class: "stack"});
  const choice = h("label", {class: "option"}, "Measure", h("select", {onchange: event => { metric = event.target.value; chosen(metric); show(); }},
    known.map(one => h("option", {value: one, selected: one === metric}, one))));

  function show() {
    const points = names.map((name, i) => ({...reachedBy(name, metric), number: i})).filter(point => point.name);
    const timed = points.filter(point => point.seconds !== null), sized = points.filter(point => point.parameters);
    const fronts = [onFront(timed, "seconds", metric), onFront(sized, "parameters", metric)];
    body.replaceChildren(
      h("div", {class: "figures"},
        timed.length ? scatter(timed, "seconds", "time until its best value", duration, metric, fronts[0]) : h("p", {class: "quiet small"}, "None of these runs has told when its values were measured."),
        sized.length ? scatter(sized, "parameters", "parameters", count, metric, fronts[1]) : h("p", {class: "quiet small"}, "None of these runs has told its number of parameters: those of older code did not.")),
      table(points, metric, fronts));
  }
  show();
  section.append(choice, body);
  return section;
}

function table(points, metric, fronts) {
  const row = point => h("tr", {}, h("th", {scope: "row"}, point.name),
    [number(point.best, metric), point.seconds === null ? "–" : duration(point.seconds), point.parameters ? count(point.parameters) : "–"].map(text => h("td", {class: "number"}, text)),
    h("td", {}, [fronts[0].includes(point) && "of time", fronts[1].includes(point) && "of parameters"].filter(Boolean).join(", ")));
  return h("div", {class: "scroll", tabindex: "0"}, h("table", {class: "plain"}, h("caption", {class: "spoken"}, `The best ${metric} of each run, and its cost`),
    h("thead", {}, h("tr", {}, ["run", "best", "time", "parameters", "on the front"].map((text, i) => h("th", {scope: "col", class: i && i < 4 ? "number" : ""}, text)))),
    h("tbody", {}, points.map(row))));
}

function scatter(points, cost, title, format, metric, front) {
  const costs = points.map(point => point[cost]), values = points.map(point => point.best);
  const isLog = cost === "parameters" || Math.max(...costs) > 20 * Math.max(1, Math.min(...costs));
  const scale = value => isLog ? Math.log(Math.max(value, 1)) : value;
  const [low, high] = room(Math.min(...costs.map(scale)), Math.max(...costs.map(scale)));
  const areShares = isShare(metric) && values.every(value => value >= 0 && value <= 1);
  const [least, most] = room(Math.min(...values), Math.max(...values), areShares ? 0.05 : 1);
  const [bottom, top] = areShares ? [Math.max(0, least), Math.min(1, most)] : [least, most];
  const x = value => LEFT + (scale(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT);
  const y = value => HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
  const sorted = [...front].sort((a, b) => a[cost] - b[cost]);
  const path = sorted.map((point, i) => i ? `H${x(point[cost])}V${y(point.best)}` : `M${x(point[cost])} ${y(point.best)}`).join("");
  const said = sorted.map(point => `${point.name}: ${number(point.best, metric)} at ${format(point[cost])}`).join("; ");
  const svg = drawn("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "scatter", role: "img", "aria-label": `${metric} against ${title}. On the front: ${said}`},
    ticks(bottom, top).map(value => [
      drawn("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid"}),
      drawn("text", {x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, number(value, metric))]).flat(),
    [...new Set(costs)].sort((a, b) => a - b).filter((_, i, all) => i === 0 || i === all.length - 1).map((value, i) =>
      drawn("text", {x: x(value), y: HEIGHT - 22, "text-anchor": i ? "end" : "start"}, format(value))),
    drawn("text", {x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 5, "text-anchor": "middle"}, title),
    drawn("path", {d: path, class: "front"}),
    points.map(point => {
      const isIn = front.includes(point);
      const dot = drawn("circle", {cx: x(point[cost]), cy: y(point.best), r: 5, "stroke-width": 2}, drawn("title", {}, `${point.name}: ${number(point.best, metric)}, ${format(point[cost])}`));
      dot.style.stroke = colour(point.number);
      dot.style.fill = isIn ? colour(point.number) : "none";
      return dot;
    }),
    labels(points.map(point => ({name: point.name, x: x(point[cost]), y: y(point.best)}))));
  return h("figure", {}, svg);
}

/** A few round numbers within a range. */
function ticks(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find(times => times * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map(i => +((first + i) * step).toPrecision(12));
}

const LETTER = 7, LINE = 14;

/** Names beside points, where they hide neither each other nor a point; one without room is left to the
 * table and to what is told when it is pointed at. */
function labels(points) {
  const taken = points.map(({x, y}) => [x - 6, y - 6, x + 6, y + 6]);
  const isFree = ([left, top, right, bottom]) => left >= LEFT && right <= WIDTH && top >= 0 && bottom <= HEIGHT - BOTTOM + 6
    && taken.every(([l, t, r, b]) => right < l || left > r || bottom < t || top > b);
  return points.map(({name, x, y}) => {
    const text = name.length > 18 ? `${name.slice(0, 17)}…` : name;
    const width = LETTER * text.length;
    const boxes = [-0.75, 0.75, -1.75, 1.75, -2.75].flatMap(line => [x + 9, x - 9 - width].map(left => [left, y + LINE * (line - 0.5), left + width, y + LINE * (line + 0.5) - 1]));
    const box = boxes.find(isFree);
    if (!box) return null;
    taken.push(box);
    return drawn("text", {x: box[0] < x ? box[2] : box[0], y: box[3] - 3, "text-anchor": box[0] < x ? "end" : "start", class: "name"}, text);
  });
}

function room(low, high, least = 1) {
  const more = high > low ? 0.12 * (high - low) : Math.abs(high) * 0.1 || least;
  return [low - more, high + more];
}
