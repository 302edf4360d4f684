// Measures, in real VS Code, the time from the last key before a pause to ghost text:
// `npm run measure`. The lines of a file are typed again as they are, with a pause in each.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as vscode from "./vscode.mjs";

const FILE_LINES = 200;
const TYPED_FILE = "hrm_jax/serving/openai_replies.py";
const TYPED_FROM = 120;
const COLD_FROM = 150;
const PAUSES = 20;
const COLD_FILES = [
  "hrm_jax/convert/catalogue.py",
  "hrm_jax/convert/pytorch.py",
  "hrm_jax/core/files.py",
  "hrm_jax/data/corpus/projects.py",
  "hrm_jax/inference/engine.py",
];
const MOST_MILLISECONDS = 15_000;
const KEY_MILLISECONDS = 40;

const top = join(import.meta.dirname, "../../../..");
const folder = mkdtempSync(join(tmpdir(), "measure-"));
let requests = 0;

/** Writes the first lines of a module into the folder, with others than some; returns those. */
function prepare(path, without) {
  const lines = readFileSync(join(top, path), "utf8").split("\n").slice(0, FILE_LINES);
  const removed = lines.splice(without.from, without.count);
  writeFileSync(join(folder, basename(path)), `${lines.join("\n")}\n`);
  return removed;
}

/** Notes, within the page, when a key was pressed last and when ghost text came. */
function watch() {
  const noted = { key: 0, ghost: 0 };
  window.noted = noted;
  window.addEventListener(
    "keydown",
    () => {
      noted.key = performance.now();
      noted.ghost = 0;
    },
    true,
  );
  const look = () => {
    if (noted.ghost === 0 && document.querySelector('[class*="ghost-text-decoration"]')) {
      noted.ghost = performance.now();
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}

/** Returns the milliseconds from the last key to ghost text, undefined where none comes. */
async function latency(page) {
  const before = requests;
  try {
    await page.waitForFunction(() => window.noted.ghost > 0, undefined, {
      timeout: MOST_MILLISECONDS,
    });
  } catch {
    return { asked: requests > before };
  }
  const { key, ghost } = await page.evaluate(() => window.noted);
  return { milliseconds: ghost - key, asked: requests > before };
}

/** Types lines, with a pause in the middle of each. */
async function typed(page, lines) {
  const found = [];
  for (const line of lines) {
    if (found.length === PAUSES) {
      break;
    }
    const middle = Math.ceil((line.length + line.length - line.trimStart().length) / 2);
    await page.keyboard.type(line.slice(0, middle), { delay: KEY_MILLISECONDS });
    if (line.trim().length > 3) {
      found.push(await latency(page));
      await page.keyboard.press("Escape");
    }
    await page.keyboard.type(`${line.slice(middle)}\n`, { delay: KEY_MILLISECONDS });
  }
  return found;
}

function report(name, found) {
  const times = found.flatMap(({ milliseconds }) => milliseconds ?? []).sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)]?.toFixed(0);
  const spread = `${times[0]?.toFixed(0)} to ${times.at(-1)?.toFixed(0)} ms`;
  const known = found.filter(({ milliseconds, asked }) => milliseconds !== undefined && !asked);
  console.log(
    `${name}: median ${median} ms of ${times.length} (${spread}); ` +
      `${found.length - times.length} without ghost text, ${known.length} without a request`,
  );
}

const port = await vscode.freePort();
const serverPort = await vscode.freePort();
const given = process.env.SERVER_URL;
const stopModel =
  given === undefined
    ? await vscode.startModel(`http://localhost:${port}`, serverPort)
    : () => undefined;
const lines = prepare(TYPED_FILE, { from: TYPED_FROM, count: 2 * PAUSES });
const halves = COLD_FILES.map((path) => prepare(path, { from: COLD_FROM, count: 20 }));
const { page, stop } = await vscode.openEditor(port, folder, {
  "hrmJax.serverUrl": given ?? `http://127.0.0.1:${serverPort}`,
  "editor.quickSuggestions": false,
  "editor.autoIndent": "none",
  "editor.autoClosingBrackets": "never",
  "editor.autoClosingQuotes": "never",
  ...JSON.parse(process.env.SETTINGS ?? "{}"),
});
try {
  page.on("request", (request) => {
    requests += request.url().endsWith("/infill") && !request.postData()?.includes('"n_predict":0');
  });
  await page.evaluate(watch);
  await vscode.openFile(page, basename(TYPED_FILE), TYPED_FROM);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(8000); // the file is read ahead
  report("pause in typing, 200 lines", await typed(page, lines));
  const cold = [];
  for (const [index, path] of COLD_FILES.entries()) {
    await vscode.openFile(page, basename(path), COLD_FROM);
    await page.keyboard.press("Enter");
    const [line] = halves[index].filter((one) => one.trim().length > 10);
    cold.push(...(await typed(page, [line])));
  }
  report("cold file", cold);
} finally {
  await stop();
  await stopModel();
  rmSync(folder, { recursive: true });
}
process.exit(0);
