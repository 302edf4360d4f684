/** What a person can do about the server: the menu, and the message where none answers. */

import * as vscode from "vscode";
import type { Connection } from "./connection";
import { SECTION, setEnabled, settingsFor } from "./settings";

const START = "python -m experiments.serve --model=qwen2.5-coder-0.5b";

/** Returns the command that starts a server which this editor may ask. */
export function startCommand(): string {
  // In a browser the server has to be told which page may ask.
  const isWeb = vscode.env.uiKind === vscode.UIKind.Web;
  return isWeb ? `${START} --allow_origin=${globalThis.origin}` : START;
}

/** Tells how to start a server, if none answers. */
export async function tellIfAway(connection: Connection): Promise<void> {
  const state = await connection.check();
  if (state.kind === "idle") {
    return;
  }
  const { serverUrl } = settingsFor();
  const [copy, url, key] = ["Copy the Command", "Change the URL", "Set the Key"];
  const reason =
    state.kind === "refused"
      ? `The server at ${serverUrl} refuses: ${state.message}.`
      : `No server answers at ${serverUrl}. Start one: ${startCommand()}`;
  const buttons = state.kind === "refused" ? [key, url] : [copy, url];
  const chosen = await vscode.window.showInformationMessage(`hrm_jax: ${reason}`, ...buttons);
  if (chosen === copy) {
    await vscode.env.clipboard.writeText(startCommand());
  } else if (chosen === url) {
    await openSettings("serverUrl");
  } else if (chosen === key) {
    await connection.askForKey();
  }
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

async function checkAloud(connection: Connection): Promise<void> {
  await tellIfAway(connection);
  if (connection.state.kind === "idle") {
    await vscode.window.showInformationMessage("hrm_jax: the server answers.");
  }
}

async function openSettings(name: string): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openSettings", `${SECTION}.${name}`);
}
