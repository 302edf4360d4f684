/** What each figure is. */
const EXACT = {
  "train/loss": "What training makes smaller: mean over the sequences of a record.",
  "train/lm_loss": "The part of the loss that is about the answer's tokens.",
  "train/q_halt_loss": "The part that teaches the head when to halt.",
  "train/q_continue_loss": "The part that teaches the head when to go on.",
  "train/cell_accuracy": "Share of cells that are right, of puzzles that just halted.",
  "train/exact_accuracy": "Share of puzzles that are right in every cell.",
  "train/steps": "Steps of thought that puzzles took before they halted.",
  "train/halted": "Puzzles that halted, for each step of training.",
  "train/q_halt_accuracy": "How often the halting head is right about the answer.",
  "validation/exact_accuracy": "Share of held-out puzzles solved in every cell.",
  "validation/cell_accuracy": "Share of cells right on held-out puzzles.",
  "validation/mean_steps": "Steps of thought on held-out puzzles.",
  "validation/count": "How many held-out puzzles were looked at.",
  "validation/solved": "Share of held-out puzzles solved in one pass, without a search.",
  "validation/phase": "Which phase of the curriculum the batches are of.",
  "validation/gain": "By how much plans of held-out problems cost less than those of restarts after as many tries.",
  "validation/better": "Share of held-out problems whose plan costs less than that of restarts.",
  "validation/worse": "Share of held-out problems whose plan costs more than that of restarts.",
  "train/order_loss": "The part of a planner's loss that is about when tasks begin.",
  "train/team_loss": "The part of a planner's loss that is about who does a task.",
  "train/error": "How far a planner's proposals are from where tasks begin.",
  "train/distance": "How far where tasks begin is from where they were: the error of who proposes no change.",
  "telemetry/gradient_norm": "Length of the gradient of all parameters. Peaks come before divergence.",
  "telemetry/learning_rate": "Size of the optimiser's steps, by its schedule.",
  "telemetry/steps_per_second": "Speed since the record before, evaluations included.",
  "telemetry/memory_bytes": "Resident memory of the process that trains.",
  "telemetry/device_memory_bytes": "Memory in use on the first device.",
};
/** What is known of figures by name, for the guide. */
export const FIGURES = Object.entries(EXACT);

const ENDING = {
  bits_per_byte: "How many bits the model needs for a byte of text; lower is better.",
  parse_rate: "Share of written functions that parse.",
  loss: "What training makes smaller.",
  accuracy: "Share of tokens that the model holds to be the likeliest and that are right.",
  bytes: "Bytes of text that a record is about.",
};

/** Whether figures of this name are shares, of which 1 is all; other code may count them in percent. */
export const isShare = name => /(^|[/_])(accuracy|parse_rate|solved|better|worse)$/.test(name);

export function explain(name) {
  const last = name.split("/").at(-1);
  return EXACT[name] ?? ENDING[last] ?? (last.startsWith("bits_per_byte_") ? `Bits per byte of ${last.slice(14)}.` : "A number of the run's log.");
}

const ORDER = ["train/loss", "validation/exact_accuracy", "validation/solved", "train/exact_accuracy",
  "train/cell_accuracy", "validation/cell_accuracy", "train/bits_per_byte", "validation/bits_per_byte", "telemetry/gradient_norm",
  "telemetry/learning_rate", "telemetry/steps_per_second", "telemetry/memory_bytes"];

/** Curves in the order in which people look at them. */
export const inOrder = names => [...names].sort((a, b) => {
  const place = name => ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length;
  return place(a) - place(b) || (a < b ? -1 : 1);
});

/** Whether less is better. */
export const isLower = name => /loss|bits_per_byte|perplexity|error|gradient|memory|worse$|(^|\/)(mean_)?steps$/i.test(name);

/** The best values so far, at each place of a curve; null stays null. */
export function bestSoFar(name, values) {
  const better = isLower(name) ? Math.min : Math.max;
  let best = null;
  return values.map(value => {
    if (value === null) return null;
    best = best === null ? value : better(best, value);
    return best;
  });
}
