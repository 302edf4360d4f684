/** Code that a model writes while one looks on, and what tests say of it. */
import {checkpointChoice, keepFilled} from "./choices.js";
import {h} from "./dom.js";
import {ask, askLines, experiments, remember, runs} from "./store.js";
import {newest} from "./watch.js";

const NO_MODEL = "there is none yet: train a run of code, or fetch a published model by python -m experiments.codegen --mode=generate --model=NAME";
const EXAMPLE = `def double(n: int) -> int:
    """Returns twice a number.

    >>> double(3)
    6
    """
`;

export function write(settings) {
  const own = Object.keys(experiments).filter(name => experiments[name].writes);
  let published = null;
  const trained = () => newest().filter(run => own.includes(run.experiment) && run.checkpoint);
  const wanted = settings.get("run") ? `run:${settings.get("run")}` : settings.get("model") ? `model:${settings.get("model")}` : "";
  const model = h("select", {id: "model"});
  const about = h("span", {class: "help", role: "status"});
  const checkpoint = checkpointChoice(settings.get("checkpoint"));
  const prompt = h("textarea", {id: "prompt", class: "tall", spellcheck: "false", required: true}, settings.get("prompt") ?? EXAMPLE);
  const tests = h("textarea", {id: "tests", spellcheck: "false"}, settings.get("tests") ?? "");
  const small = (id, value, min, max, step = "1") => h("input", {type: "number", id, value, min, max, step});
  const tokens = small("tokens", "128", "1", "8192");
  const attempts = small("attempts", "8", "1", "100");
  const warmth = small("warmth", "0", "0", "2", "0.1");
  const chat = h("input", {type: "checkbox", id: "chat"});
  const begins = h("button", {type: "submit", class: "primary"}, "Write");
  const cancels = h("button", {type: "button", disabled: true, onclick: () => stop("Cancelled: what is there is not verified.")}, "Cancel");
  const refused = h("p", {class: "warn problem", role: "alert"});
  const verdict = h("p", {role: "status", class: "verdict"});
  const text = h("pre", {tabindex: "0", class: "written", role: "group", "aria-label": "What was written"});
  const picks = h("div", {class: "row tight", role: "group", "aria-label": "Attempts"});
  let written = new Map(), shown = null, picked = false, controller = null, given = "";

  const models = keepFilled(model, () => [
    ["Runs", trained().map(run => [`run:${run.name}`, run.name])],
    ["Published, and here", (published ?? []).map(([, name]) => [`model:${name}`, name])],
  ], wanted, chosen);
  function tell() {
    begins.disabled = !model.value;
    about.textContent = model.value ? "" : published ? NO_MODEL : "Looking for models ...";
  }
  function chosen() {
    tell();
    checkpoint.of(named().name);
  }
  tell();
  // The studio looks for them once it has imported what knows of them.
  ask("/api/models").then(found => Object.entries(found.models).flatMap(([name, those]) => those.map(one => [name, one])), () => [])
    .then(found => { published = found; models.fill(); tell(); });

  function named() {
    const value = model.value, name = value.slice(value.indexOf(":") + 1);
    if (value.startsWith("run:")) return {experiment: runs.get(name)?.experiment ?? "", name};
    return {experiment: published?.find(([, one]) => one === name)?.[0] ?? "", model: name};
  }

  function show(number) {
    shown = number;
    const one = written.get(number);
    text.replaceChildren(h("b", {}, given), one?.text ?? "");
    const failed = one && one.passed === false;
    text.classList.toggle("passed", one?.passed === true);
    picks.replaceChildren(...[...written.keys()].sort((a, b) => a - b).map(key => {
      const {passed, failure} = written.get(key);
      const word = passed === undefined ? "not judged" : passed ? "passed" : "failed";
      return h("button", {type: "button", class: `attempt ${word.replace(" ", "-")}`, "aria-pressed": String(key === number), title: failure || word,
        onclick: () => { picked = true; show(key); }}, `${key} ${word}`);
    }));
    picks.hidden = written.size < 2;
    if (failed && controller) verdict.textContent = `Attempt ${number} failed: ${one.failure}`;
  }

  function take(answer) {
    if (answer.done) { finish(answer); return; }
    const one = written.get(answer.attempt) ?? {text: ""};
    if (answer.text) one.text += answer.text;
    if (answer.passed !== undefined) Object.assign(one, {passed: answer.passed, failure: answer.failure});
    written.set(answer.attempt, one);
    if (!picked && (answer.text || answer.passed)) shown = answer.attempt;
    if (!controller) return;
    verdict.textContent = "Writing ...";
    show(shown ?? answer.attempt);
  }

  function finish(answer) {
    end();
    if (answer.error) {
      verdict.textContent = "";
      refused.textContent = answer.error;
      return;
    }
    written.set(answer.attempt, {...written.get(answer.attempt), text: answer.text, passed: answer.verified ? true : written.get(answer.attempt)?.passed});
    show(answer.attempt);
    const count = answer.attempts === 1 ? "1 attempt" : `${answer.attempts} attempts`;
    verdict.classList.toggle("good", answer.verified === true);
    verdict.textContent = `${answer.verified === true ? "✓" : "✕"} ${answer.told} (${count}, ${answer.seconds.toFixed(1)} s)`;
  }

  function end() {
    controller = null;
    cancels.disabled = true;
    text.removeAttribute("aria-busy");
  }

  function stop(why = "") {
    controller?.abort();
    if (controller && why) verdict.textContent = why;
    end();
  }

  async function begin() {
    stop();
    const mine = controller = new AbortController();
    written = new Map();
    picked = false;
    shown = null;
    given = chat.checked ? "" : prompt.value;
    refused.textContent = "";
    verdict.classList.remove("good");
    verdict.textContent = "The model is being loaded ...";
    cancels.disabled = false;
    text.setAttribute("aria-busy", "true");
    show(null);
    const who = named();
    remember({run: who.name ?? "", model: who.model ?? "", checkpoint: checkpoint.value(), prompt: prompt.value.length < 1000 ? prompt.value : "", tests: tests.value.length < 1000 ? tests.value : ""});
    const body = {...who, checkpoint: who.name ? checkpoint.value() : "", prompt: prompt.value, tests: tests.value, chat: chat.checked,
      max_tokens: Number(tokens.value), attempts: Number(attempts.value), temperature: Number(warmth.value)};
    try {
      await askLines("/api/write", body, mine.signal, answer => { if (controller === mine) take(answer); });
    } catch (error) {
      if (controller !== mine) return;
      verdict.textContent = "";
      refused.textContent = error.message;
    }
    if (controller === mine) end();
  }

  const field = (label, control, help) => h("div", {class: "field"}, h("label", {for: control.id}, label), control, help && h("span", {class: "help"}, help));
  const form = h("form", {class: "stack", onsubmit: event => { event.preventDefault(); begin(); }},
    h("div", {class: "field"}, h("label", {for: "model"}, "Model"), model, about),
    checkpoint.element,
    field("Text to go on from", prompt, "examples in it, such as >>> double(3), are tests of what is written"),
    field("Tests", tests, "asserts, functions test_* or unittest, in Python; they run in a sandbox, and only what passes them is called verified"),
    h("details", {}, h("summary", {}, "How it is written"), h("div", {class: "fields"},
      field("Tokens at most", tokens), field("Attempts at most", attempts, "with tests; the first that passes ends the search"),
      field("Temperature", warmth, "of the first attempt; 0 takes the likeliest token"),
      h("div", {class: "field"}, h("label", {class: "option", for: "chat"}, chat, "as a request in a conversation"), h("span", {class: "help"}, "for models that were trained on conversations")))),
    h("div", {class: "row tight"}, begins, cancels), refused);
  const element = h("div", {class: "solve even"}, form, h("div", {class: "stack"}, verdict, picks, text));
  show(null);
  return {element, end: () => { stop(); models.end(); checkpoint.end(); }};
}
