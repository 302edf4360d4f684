// Works in real VS Code as a person does, with a real model behind it.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as vscode from "./vscode.mjs";

const project = mkdtempSync(join(tmpdir(), "project-"));
const asked = [];
let page;
const ends = [];

const isShown = (text) => text.trim() !== "";
const shown = (what) => vscode.eventually(() => vscode.ghostText(page), isShown, what);
const messages = () =>
  page.locator(".notifications-toasts .notification-list-item").allTextContents();
const told = (text) =>
  vscode.eventually(messages, (all) => all.some((one) => one.includes(text)), text);
const lineWith = async (text) =>
  (await vscode.shownLines(page)).find((line) => line.includes(text)) ?? "";

/** Types a bracket and takes it back; returns whether the editor closed it, as it does once it knows
 * the language. */
async function closesBrackets() {
  await page.keyboard.type("(");
  await page.waitForTimeout(100);
  const lines = await vscode.shownLines(page);
  await page.keyboard.press("Backspace");
  return lines.includes("()");
}

before(async () => {
  cpSync(join(import.meta.dirname, "project"), project, { recursive: true });
  writeFileSync(join(project, ".gitignore"), "private.py\n");
  const port = await vscode.freePort();
  const serverPort = await vscode.freePort();
  const settings = {
    "hrmJax.serverUrl": `http://127.0.0.1:${serverPort}`,
    "hrmJax.logFeedback": true,
    "hrmJax.context": true,
    "hrmJax.alternatives": 6, // some of which may be equal
    "hrmJax.verifyAttempts": 4,
    "hrmJax.verifyMaxTokens": 120,
    "editor.quickSuggestions": false,
    "editor.autoIndent": "none", // otherwise it begins once the language is loaded
  };
  const editor = await vscode.openEditor(port, project, settings);
  ends.push(editor.stop);
  page = editor.page;
  page.on("request", (request) => {
    if (request.url().includes(`:${serverPort}/`)) {
      asked.push({ path: new URL(request.url()).pathname, body: request.postData() ?? "" });
    }
  });
  await told(
    "python -m experiments.serve --model=qwen2.5-coder-0.5b --allow_origin=http://localhost:",
  );
  await page.keyboard.press("Escape");
  ends.push(await vscode.startModel(`http://localhost:${port}`, serverPort));
});

after(async () => {
  for (const end of ends.reverse()) {
    await end();
  }
  rmSync(project, { recursive: true });
});

test("what is typed is gone on with, and accepted as a whole", async () => {
  await vscode.openFile(page, "shapes.py", 13);
  await page.keyboard.type("    return ma");
  const ghost = await shown("ghost text");
  if (process.env.SCREENSHOT !== undefined) {
    await page.screenshot({ path: process.env.SCREENSHOT });
  }
  await page.keyboard.press("Tab");
  const expected = `    return ma${ghost}`.split("\n");
  await vscode.eventually(
    () => vscode.shownLines(page),
    (lines) => expected.every((line) => lines.includes(line)),
    "the accepted text",
  );
  assert.equal(await vscode.ghostText(page), "");
});

test("a word is taken, then what is typed of the rest, without a request", async () => {
  await page.keyboard.press("Control+End");
  await page.keyboard.type("\n\ndef rectangle_area(width, height):\n");
  await page.keyboard.type("    return ");
  const ghost = await shown("ghost text");
  const [word = ""] = /^\w+/.exec(ghost) ?? [];
  const before = asked.length;
  await page.keyboard.press("Control+ArrowRight");
  await vscode.eventually(
    () => vscode.shownLines(page),
    (lines) => lines.includes(`    return ${word}`),
    "the line with the word",
  );
  const rest = ghost.slice(word.length);
  await vscode.eventually(
    () => vscode.ghostText(page),
    (text) => text === rest,
    "the rest",
  );
  await page.keyboard.type(rest.slice(0, 2));
  await vscode.eventually(
    () => vscode.ghostText(page),
    (text) => text === rest.slice(2),
    "less",
  );
  assert.equal(asked.length, before);
  await page.keyboard.press("Control+ArrowDown");
  const [line] = `    return ${ghost}`.split("\n");
  await vscode.eventually(
    () => vscode.shownLines(page),
    (all) => all.includes(line),
    "the line",
  );
});

test("a bracket that the editor closed is not doubled", async () => {
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+End");
  await page.keyboard.type("\n");
  await vscode.eventually(closesBrackets, (closes) => closes, "the language of the file");
  await page.keyboard.type("print(circle_area(");
  const ghost = await shown("ghost text");
  await page.keyboard.press("Tab");
  const isAccepted = (text) => text.length > "print(circle_area())".length;
  const line = await vscode.eventually(() => lineWith("print("), isAccepted, ghost);
  assert.equal(line.split("(").length, line.split(")").length, line);
});

test("the next suggestion is another one", async () => {
  await page.keyboard.press("Control+End");
  await page.keyboard.type("\nname = ");
  const first = await shown("ghost text");
  await page.keyboard.press("Alt+]");
  await vscode.eventually(
    () => vscode.ghostText(page),
    (text) => isShown(text) && text !== first,
    "another suggestion",
  );
  await page.keyboard.press("Escape");
});

test("a file that git ignores is not sent, neither by itself nor beside others", async () => {
  const before = asked.length;
  await vscode.openFile(page, "private.py", 4);
  await page.keyboard.type("print(");
  await page.waitForTimeout(1500);
  assert.equal(asked.length, before);
  assert.equal(await vscode.ghostText(page), "");
  await vscode.openFile(page, "examples.py", 1);
  await page.keyboard.press("Home");
  await page.keyboard.type("import ");
  await vscode.eventually(
    () => asked.length,
    (count) => count > before,
    "a request",
  );
  const bodies = asked.map(({ body }) => body);
  assert.ok(
    bodies.some((body) =>
      JSON.stringify(JSON.parse(body || "{}").input_extra ?? "").includes("shapes.py"),
    ),
  );
  assert.ok(!bodies.some((body) => body.includes("password_of_the_owner")));
  await page.keyboard.press("Escape");
  await page.keyboard.type("math\n\n\n");
});

test("a docstring's function is written until its examples pass", async () => {
  await vscode.openFile(page, "examples.py", 4);
  await vscode.runCommand(page, "hrm_jax: Write and Verify");
  await told("hrm_jax: verified (");
  await page.locator('.tab.active[aria-label*="verified"]').waitFor();
  if (process.env.SCREENSHOT_VERIFIED !== undefined) {
    await page.waitForTimeout(1000); // the message slides in
    await page.screenshot({ path: process.env.SCREENSHOT_VERIFIED });
  }
  await page.getByRole("button", { name: "Insert" }).click();
  await page.locator('.tab.active[aria-label^="examples.py"]').waitFor();
  await vscode.eventually(() => lineWith("return"), isShown, "the function's body");
});

test("selected tests get the code that passes them", async () => {
  await vscode.openFile(page, "wanted.py", 1);
  await page.keyboard.press("Control+A");
  await vscode.runCommand(page, "hrm_jax: Write and Verify");
  await told("hrm_jax: verified (");
  await page.getByRole("button", { name: "Insert" }).click();
  await page.locator('.tab.active[aria-label^="wanted.py"]').waitFor();
  await vscode.eventually(() => lineWith("def triple("), isShown, "the function");
});

test("what does not pass is called so, and inserted as such alone", async () => {
  await vscode.openFile(page, "contradiction.py", 3);
  await vscode.runCommand(page, "hrm_jax: Write and Verify");
  await told("hrm_jax: not verified: ");
  await page.locator('.tab.active[aria-label*="NOT VERIFIED"]').waitFor();
  await page.getByRole("button", { name: "Insert Unverified" }).click();
  await page.locator('.tab.active[aria-label^="contradiction.py"]').waitFor();
  await vscode.eventually(() => lineWith("# not verified: "), isShown, "the warning");
});

test("what became of suggestions is written down", async () => {
  await vscode.runCommand(page, "hrm_jax: Show What Became of Suggestions");
  await page.locator('.tab.active[aria-label*=".jsonl"]').waitFor();
  const lines = await vscode.eventually(
    () => vscode.shownLines(page),
    (all) => all.some((line) => line.includes('"accepted":true')),
    "an accepted suggestion",
  );
  assert.ok(lines.some((line) => line.includes('"accepted":false')));
});

test("nothing is asked once suggestions are off", async () => {
  await vscode.runCommand(page, "hrm_jax: Turn Suggestions On or Off");
  await page.locator('.statusbar-item[aria-label="hrm_jax: disabled"]').waitFor();
  const before = asked.length;
  await vscode.openFile(page, "shapes.py", 13);
  await page.keyboard.type(" + ");
  await page.waitForTimeout(1000);
  assert.equal(asked.length, before);
});
