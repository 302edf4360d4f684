/** Shows in the status bar how things stand. */

import * as vscode from "vscode";
import type { Connection } from "./connection";
import { SECTION, isWanted, settingsFor } from "./settings";

export const MENU = "hrmJax.menu";

/** The item in the status bar; a click opens the menu. */
export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right, 100);
  private readonly subscription: vscode.Disposable;

  constructor(private readonly connection: Connection) {
    this.item.name = "hrm_jax";
    this.item.command = MENU;
    const show = (): void => {
      this.show();
    };
    this.subscription = vscode.Disposable.from(
      this.item,
      connection.onDidChange(show),
      vscode.window.onDidChangeActiveTextEditor(show),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(SECTION)) {
          show();
        }
      }),
    );
    show();
    this.item.show();
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private show(): void {
    const { icon, tooltip } = this.look();
    this.item.text = `$(${icon}) hrm`;
    this.item.tooltip = `hrm_jax: ${tooltip}`;
    this.item.accessibilityInformation = { label: this.item.tooltip };
  }

  private look(): { icon: string; tooltip: string } {
    const document = vscode.window.activeTextEditor?.document;
    const settings = settingsFor(document);
    if (!settings.enabled || (document !== undefined && !isWanted(settings, document))) {
      return {
        icon: "circle-slash",
        tooltip: settings.enabled ? "not for this language" : "disabled",
      };
    }
    const { state } = this.connection;
    switch (state.kind) {
      case "idle":
        return { icon: "sparkle", tooltip: "idle" };
      case "asking":
        return { icon: "loading~spin", tooltip: "asking" };
      case "loading":
        return { icon: "loading~spin", tooltip: "the server loads its model" };
      case "away":
        return { icon: "debug-disconnect", tooltip: `no server answers at ${settings.serverUrl}` };
      case "refused":
        return { icon: "warning", tooltip: `the server refuses: ${state.message}` };
    }
  }
}
