/** Curves of runs, kept and grown: only new points are asked for. */
import {ask, listen, query, runs} from "./store.js";

const POINTS = 1200;
const kept = new Map();

export class RunCurves {
  constructor(name) {
    this.name = name;
    this.generation = -1;
    this.names = [];
    this.share = 0;
    this.damaged = 0;
    this.isFull = false;
    this.curves = new Map();
    this.pending = null;
    this.next = null;
  }

  /** Reads what is new of some curves; returns whether anything is. */
  async grow(wanted) {
    if (!this.pending) {
      this.pending = this.#grow(wanted).finally(() => { this.pending = null; });
      return this.pending;
    }
    // A record may have been written after what is under way was read: asked once more, for all who wait.
    this.next ??= this.pending.catch(() => {}).then(() => { this.next = null; return this.grow(wanted); });
    return this.next;
  }

  async #grow(wanted) {
    const asked = wanted.map(name => `${name}:${this.curves.get(name)?.count ?? 0}`);
    let found = await ask(`/api/curves?${query({run: this.name, curve: asked, points: POINTS})}`);
    if (found.generation !== this.generation) {
      // The run was resumed: its log begins anew.
      const isFirst = this.generation === -1;
      this.generation = found.generation;
      this.curves.clear();
      if (!isFirst && asked.length) found = await ask(`/api/curves?${query({run: this.name, curve: wanted, points: POINTS})}`);
    }
    const isNew = found.names.length !== this.names.length;
    Object.assign(this, {names: found.names, share: found.share, damaged: found.damaged, isFull: found.is_full});
    let grown = isNew;
    for (const [name, points] of Object.entries(found.curves)) {
      const curve = this.curves.get(name);
      if (!curve) this.curves.set(name, points);
      else {
        curve.count = points.count;
        for (const column of ["steps", "times", "values"]) curve[column].push(...points[column]);
      }
      grown ||= points.values.length > 0;
      // Many small additions: the whole is thinned again by who has all points.
      if (this.curves.get(name).values.length > 3 * POINTS) this.curves.delete(name);
    }
    return grown;
  }

  /** All points within steps, thinned; for a zoom. */
  async within(curve, first, last) {
    const found = await ask(`/api/curves?${query({run: this.name, curve, points: POINTS, first, last})}`);
    return found.curves[curve];
  }
}

export function curvesOf(name) {
  if (!kept.has(name)) kept.set(name, new RunCurves(name));
  return kept.get(name);
}

// Points are numbered anew where the connection was lost, as the studio may be another one by now, and where
// a run is gone, as another may come by its name.
listen((names, kind) => {
  if (kind === "all") kept.clear();
  else names.filter(name => !runs.has(name)).forEach(name => kept.delete(name));
});

/** An exponential average that begins at the first value; null stays null. */
export function smooth(values, weight) {
  if (!weight) return values;
  let sum = 0, total = 0;
  return values.map(value => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** Why a loss looks as if it diverges; null where it does not. `hrm_jax/studio/losses.py` judges runs that
 * go on by the same rule. */
export function trouble(values) {
  if (values.some(value => value === null)) return "has values that are no numbers";
  if (values.length < 40) return null;
  const even = smooth(values, 0.9);
  const noise = smooth(values.map((value, i) => Math.abs(value - even[i])), 0.9);
  const at = even.reduce((found, value, i) => value < even[found] ? i : found, 0);
  const lowest = even[at], now = even.at(-1), first = even[0];
  return now - lowest > Math.max(0.35 * (first - lowest), 3 * noise[at]) && now > 1.15 * lowest ? "is rising" : null;
}
