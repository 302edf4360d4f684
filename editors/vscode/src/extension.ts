/** The extension: puts its parts together. */

import * as vscode from "vscode";
import { SuggestionCache } from "./core/cache";
import { Suggester } from "./core/suggester";
import { Connection } from "./editor/connection";
import { Feedback } from "./editor/feedback";
import { GhostText } from "./editor/ghost_text";
import { greet, showMenu, startCommand } from "./editor/menu";
import { Neighbours } from "./editor/neighbours";
import { Privacy } from "./editor/privacy";
import { ReadingAhead } from "./editor/reading_ahead";
import { SECTION, setEnabled, settingsFor } from "./editor/settings";
import { MENU, StatusBar } from "./editor/status_bar";
import { Verifying } from "./editor/verifying";

const REMEMBERED = 250;

/** Starts the extension. */
export function activate(context: vscode.ExtensionContext): void {
  const connection = new Connection(context.secrets);
  const cache = new SuggestionCache(REMEMBERED);
  const suggester = new Suggester(cache);
  const privacy = new Privacy();
  const neighbours = new Neighbours(privacy, connection);
  const ahead = new ReadingAhead(connection, privacy, neighbours);
  const feedback = new Feedback(context.globalStorageUri);
  const verifying = new Verifying(connection, privacy);
  const ghostText = new GhostText(connection, suggester, privacy, neighbours, ahead, feedback);
  const command = vscode.commands.registerCommand.bind(vscode.commands);
  context.subscriptions.push(
    connection,
    privacy,
    neighbours,
    ahead,
    feedback,
    verifying,
    new StatusBar(connection),
    vscode.languages.registerInlineCompletionItemProvider({ pattern: "**" }, ghostText),
    command(MENU, () => showMenu(connection)),
    command("hrmJax.toggle", () => setEnabled(!settingsFor().enabled)),
    command("hrmJax.setKey", () => connection.askForKey()),
    command("hrmJax.copyStartCommand", () => vscode.env.clipboard.writeText(startCommand())),
    command("hrmJax.showFeedback", () => showFeedback(feedback.folder)),
    vscode.commands.registerTextEditorCommand("hrmJax.verify", (editor) => verifying.run(editor)),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SECTION)) {
        cache.clear(); // What was suggested depends on the settings.
      }
    }),
  );
  if (settingsFor().enabled) {
    void greet(connection, context.globalState);
  }
}

/** Opens the file of what became of suggestions that was written last. */
async function showFeedback(folder: vscode.Uri): Promise<void> {
  const { fs } = vscode.workspace;
  const files = await fs.readDirectory(folder).then(
    (found) => found.map(([name]) => name).sort(),
    () => [],
  );
  const last = files.at(-1);
  if (last === undefined) {
    const told = "hrm_jax: nothing is written down; hrmJax.logFeedback says whether it is.";
    await vscode.window.showInformationMessage(told);
    return;
  }
  await vscode.window.showTextDocument(vscode.Uri.joinPath(folder, last));
}
