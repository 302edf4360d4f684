/** Turns VS Code's places into those that suggestions are made for. */

import type * as vscode from "vscode";
import type { Place } from "../core/suggester";

/** Returns a place in a document, as if what is selected in the list of completions were typed. */
export function placeOf(
  document: vscode.TextDocument,
  position: vscode.Position,
  selected: vscode.SelectedCompletionInfo | undefined,
): Place {
  const text = document.getText();
  const begin = document.offsetAt(selected?.range.start ?? position);
  const end = document.offsetAt(selected?.range.end ?? position);
  const lines = (part: string): string => part.replaceAll("\r\n", "\n");
  return {
    document: document.uri.toString(),
    before: lines(text.slice(0, begin)) + (selected?.text ?? ""),
    after: lines(text.slice(end)),
    context: [],
    filename: "",
    project: "",
  };
}
