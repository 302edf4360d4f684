/** What a person can do about the server: the menu, and the message where none answers. */

import * as vscode from "vscode";
import type { Connection, State } from "./connection";
import { SECTION, setEnabled, settingsFor } from "./settings";

const TOLD = "hrmJax.told";
const START = "python -m experiments.serve --model=qwen2.5-coder-0.5b";

/** Returns the command that starts a server which this editor may ask. */
export function startCommand(): string {
  // In a browser's worker the server has to be told which page may ask; Node has no origin.
  const { origin } = globalThis as { readonly origin?: string };
  return origin === undefined ? START : `${START} --allow_origin=${origin}`;
}

/** Tells how to start a server where none answers, or why the one there refuses. */
export async function tell(connection: Connection, state: State): Promise<void> {
  if (!isTrouble(state)) {
    return;
  }
  const { serverUrl } = settingsFor();
  const actions: Record<string, () => Thenable<unknown>> = {
    "Change the URL": () => openSettings("serverUrl"),
  };
  let told = `No server answers at ${serverUrl}. Start one: ${startCommand()}`;
  if (state.kind === "refused") {
    told = `The server at ${serverUrl} refuses: ${state.message}`;
    actions["Set the Key"] = () => connection.askForKey();
  } else {
    actions["Copy the Command"] = () => vscode.env.clipboard.writeText(startCommand());
  }
  const names = Object.keys(actions);
  const chosen = await vscode.window.showInformationMessage(`hrm_jax: ${told}`, ...names);
  await actions[chosen ?? ""]?.();
}

/** Checks the server, and tells if none answers: once for each URL, as the status bar shows it too. */
export async function greet(connection: Connection, memory: vscode.Memento): Promise<void> {
  const state = await connection.check();
  const { serverUrl } = settingsFor();
  if (!isTrouble(state) || memory.get(TOLD) === serverUrl) {
    return;
  }
  await memory.update(TOLD, serverUrl);
  await tell(connection, state);
}

/** Shows the menu of the status bar. */
export async function showMenu(connection: Connection): Promise<void> {
  const { enabled, serverUrl } = settingsFor();
  const items: (vscode.QuickPickItem & { run: () => Thenable<unknown> })[] = [
    {
      label: enabled ? "Turn Suggestions Off" : "Turn Suggestions On",
      run: () => setEnabled(!enabled),
    },
    { label: "Write and Verify", run: () => vscode.commands.executeCommand("hrmJax.verify") },
    {
      label: "Check the Server",
      description: serverUrl,
      run: () => checkAloud(connection),
    },
    { label: "Set the Server's Key", run: () => connection.askForKey() },
    { label: "Open the Settings", run: () => openSettings("") },
  ];
  const chosen = await vscode.window.showQuickPick(items, { title: "hrm_jax" });
  await chosen?.run();
}

/** Returns whether a person has to do something about the server. */
function isTrouble(state: State): boolean {
  return state.kind === "away" || state.kind === "refused";
}

async function checkAloud(connection: Connection): Promise<void> {
  const state = await connection.check();
  if (!isTrouble(state)) {
    const told = state.kind === "idle" ? "the server answers." : "the server loads its model.";
    await vscode.window.showInformationMessage(`hrm_jax: ${told}`);
  }
  await tell(connection, state);
}

async function openSettings(name: string): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openSettings", `${SECTION}.${name}`);
}
