/** Reads the settings. */

import * as vscode from "vscode";
import type { VerifyBudget } from "../core/server";
import type { SuggestionOptions } from "../core/suggester";
import { budgetOf } from "../core/window";

export const SECTION = "hrmJax";

/** What a person has set, for one document or in general. */
export interface Settings {
  readonly enabled: boolean;
  readonly serverUrl: string;
  readonly debounceMilliseconds: number;
  readonly languages: readonly string[];
  readonly context: boolean;
  readonly exclude: readonly string[];
  readonly alternatives: number;
  readonly logFeedback: boolean;
  readonly suggestion: SuggestionOptions;
  readonly verify: VerifyBudget;
}

/** Returns the settings for a document, or in general. */
export function settingsFor(scope?: vscode.ConfigurationScope): Settings {
  const found = vscode.workspace.getConfiguration(SECTION, scope);
  // The defaults are in package.json: each setting has one.
  const read = <T>(name: string): T => found.get(name) as T;
  const context = read<boolean>("context");
  return {
    enabled: read("enabled"),
    serverUrl: read("serverUrl"),
    debounceMilliseconds: read("debounceMilliseconds"),
    languages: read("languages"),
    context,
    exclude: read("exclude"),
    alternatives: read("alternatives"),
    logFeedback: read("logFeedback"),
    suggestion: {
      budget: budgetOf(read("promptCharacters"), context),
      maxTokens: read("maxTokens"),
      maxLines: read("maxLines"),
      maxMilliseconds: read("maxMilliseconds"),
    },
    verify: {
      attempts: read("verifyAttempts"),
      seconds: read("verifySeconds"),
      maxTokens: read("verifyMaxTokens"),
    },
  };
}

/** Returns whether somebody wants suggestions in a document. */
export function isWanted(settings: Settings, document: vscode.TextDocument): boolean {
  const { enabled, languages } = settings;
  return enabled && (languages.includes("*") || languages.includes(document.languageId));
}

/** Turns suggestions on or off, for this person everywhere. */
export async function setEnabled(enabled: boolean): Promise<void> {
  const target = vscode.ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration(SECTION).update("enabled", enabled, target);
}
