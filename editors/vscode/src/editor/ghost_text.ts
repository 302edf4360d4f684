/** Shows suggestions as ghost text. */

import * as vscode from "vscode";
import { fit } from "../core/fit";
import type { Place, Suggester } from "../core/suggester";
import { type Connection, signalOf } from "./connection";
import type { Feedback } from "./feedback";
import type { Neighbours } from "./neighbours";
import { placeOf } from "./place";
import type { Privacy } from "./privacy";
import type { ReadingAhead } from "./reading_ahead";
import { type Settings, isWanted, settingsFor } from "./settings";

/** Gives VS Code suggestions for what is typed. */
export class GhostText implements vscode.InlineCompletionItemProvider {
  constructor(
    private readonly connection: Connection,
    private readonly suggester: Suggester,
    private readonly privacy: Privacy,
    private readonly neighbours: Neighbours,
    private readonly ahead: ReadingAhead,
    private readonly feedback: Feedback,
  ) {}

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    const settings = settingsFor(document);
    if (!isWanted(settings, document)) {
      return [];
    }
    const selected = context.selectedCompletionInfo;
    const isAskedFor = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    const { signal, waiting } = signalOf(token);
    try {
      // Both take a while, and neither needs the other.
      const pausing = pause(isAskedFor ? 0 : settings.debounceMilliseconds, signal);
      const place = await this.place(document, position, selected, settings);
      if (place === undefined) {
        return [];
      }
      const found = await this.suggestions(place, settings, isAskedFor, pausing, signal);
      if (token.isCancellationRequested) {
        return [];
      }
      const range = selected?.range ?? new vscode.Range(position, position);
      const items = found.flatMap((one) => itemOf(one, place, range, selected?.text ?? ""));
      const [first] = items;
      if (first !== undefined) {
        this.feedback.offer(document, position, place, first);
      }
      return items;
    } finally {
      waiting.dispose();
    }
  }

  /** Returns a place with what it is shown beside, undefined in a document that may not be sent. */
  private async place(
    document: vscode.TextDocument,
    position: vscode.Position,
    selected: vscode.SelectedCompletionInfo | undefined,
    settings: Settings,
  ): Promise<Place | undefined> {
    if (!(await this.privacy.allows(document))) {
      return undefined;
    }
    const alone = placeOf(document, position, selected);
    return this.neighbours.beside(document, alone, settings.suggestion.budget);
  }

  /** Returns what is known, or what the server says after a moment in which nothing is typed. */
  private async suggestions(
    place: Place,
    settings: Settings,
    isAskedFor: boolean,
    pausing: Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const known = this.suggester.known(place);
    if (known !== undefined && !isAskedFor) {
      return known;
    }
    await pausing;
    await this.ahead.finish(place.document, signal);
    if (signal.aborted) {
      return [];
    }
    const { suggestion, alternatives } = settings;
    const found = await this.connection.ask(signal, (server) =>
      isAskedFor
        ? this.suggester.several(server, place, suggestion, alternatives, signal)
        : this.suggester.likeliest(server, place, suggestion, signal),
    );
    return found ?? [];
  }
}

function itemOf(
  suggestion: string,
  place: Place,
  range: vscode.Range,
  begin: string,
): vscode.InlineCompletionItem[] {
  const fitted = fit(suggestion, place.before, place.after);
  if (fitted === undefined) {
    return [];
  }
  const end = range.end.translate(0, fitted.replaced);
  return [new vscode.InlineCompletionItem(begin + fitted.text, range.with(undefined, end))];
}

/** Resolves after a time, or when the signal comes. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
