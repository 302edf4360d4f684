/** Writes down, on this machine and only if allowed, what becomes of suggestions. */

import * as vscode from "vscode";
import { Offer, type Outcome } from "../core/outcome";
import { type Place, holeOf } from "../core/suggester";
import { settingsFor } from "./settings";

const FOLDER = "feedback";
/** Size of a file after which another one is begun: files are written as a whole. */
const MOST_CHARACTERS = 256 * 1024;

interface Offered {
  readonly document: vscode.TextDocument;
  readonly offer: Offer;
  readonly record: object;
  readonly since: number;
}

/** Follows the suggestion that is shown. */
export class Feedback implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private offered: Offered | undefined;
  private lines: string[] = [];
  private file = "";
  private writing = Promise.resolve();

  /** @param storage the folder that VS Code has for this extension. */
  constructor(private readonly storage: vscode.Uri) {
    this.subscription = vscode.Disposable.from(
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.change(event);
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.settle(this.offered?.offer.leave());
      }),
    );
  }

  /** The folder of what is written down. */
  get folder(): vscode.Uri {
    return vscode.Uri.joinPath(this.storage, FOLDER);
  }

  /** Follows a suggestion from now on, where that is allowed. */
  offer(
    document: vscode.TextDocument,
    position: vscode.Position,
    place: Place,
    item: vscode.InlineCompletionItem,
  ): void {
    const settings = settingsFor(document);
    if (!settings.logFeedback) {
      this.offered = undefined;
      return;
    }
    const text = String(item.insertText);
    const begin = document.offsetAt(item.range?.start ?? position);
    const typed = document.offsetAt(position) - begin;
    if (this.offered?.document === document && this.offered.offer.goesOnWith(text, begin)) {
      return;
    }
    this.settle(this.offered?.offer.leave());
    const { prefix, suffix } = holeOf(place, settings.suggestion.budget);
    const record = { language: document.languageId, prefix, suffix, suggestion: text };
    this.offered = { document, offer: new Offer(text, begin, typed), record, since: Date.now() };
  }

  dispose(): void {
    this.settle(this.offered?.offer.leave());
    this.subscription.dispose();
  }

  private change(event: vscode.TextDocumentChangeEvent): void {
    for (const { rangeOffset, rangeLength, text } of event.contentChanges) {
      if (event.document !== this.offered?.document) {
        return;
      }
      const inserted = text.replaceAll("\r\n", "\n");
      const change = { offset: rangeOffset, removed: rangeLength, inserted };
      this.settle(this.offered.offer.change(change));
    }
  }

  private settle(outcome: Outcome | undefined): void {
    if (this.offered === undefined || outcome === undefined) {
      return;
    }
    const { document, record, since } = this.offered;
    this.offered = undefined;
    if (!settingsFor(document).logFeedback) {
      return;
    }
    const time = new Date().toISOString();
    const line = { time, ...outcome, milliseconds: Date.now() - since, ...record };
    this.write(JSON.stringify(line));
  }

  private write(line: string): void {
    const size = this.lines.reduce((sum, one) => sum + one.length, 0);
    if (this.file === "" || size > MOST_CHARACTERS) {
      this.file = `${new Date().toISOString().replaceAll(":", "-")}.jsonl`;
      this.lines = [];
    }
    this.lines.push(line);
    const uri = vscode.Uri.joinPath(this.folder, this.file);
    const bytes = new TextEncoder().encode(`${this.lines.join("\n")}\n`);
    this.writing = this.writing
      .then(() => vscode.workspace.fs.writeFile(uri, bytes))
      .catch(() => undefined);
  }
}
