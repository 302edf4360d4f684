/** Knows which files somebody worked in last, and shows parts of files beside a document. */

import * as vscode from "vscode";
import { type Chunk, chunksOf } from "../core/chunks";
import { importedNames } from "../core/imports";
import type { Place } from "../core/suggester";
import { type Budget, around } from "../core/window";
import type { Connection } from "./connection";
import type { Privacy } from "./privacy";
import { filesNear, read } from "./project";

const MOST_REMEMBERED = 20;
const MOST_FILES = 4;
/** How far somebody may go before parts are chosen anew. */
const NEAR_LINES = 30;

interface File {
  readonly uri: vscode.Uri;
  readonly filename: string;
  readonly text: string;
}

interface Part {
  readonly uri: vscode.Uri;
  readonly chunk: Chunk;
}

interface Chosen {
  /** What parts are chosen for: when it changes, so do they. */
  readonly key: string;
  readonly line: number;
  readonly parts: Promise<readonly Part[]>;
}

/**
 * What a document is shown with, which stays the same while somebody stays where they are: it stands
 * at the begin of the prompt, and with another one the server would read everything anew.
 */
export class Neighbours implements vscode.Disposable {
  private readonly lines = new Map<string, number>();
  private readonly subscription: vscode.Disposable;
  private chosen: Chosen | undefined;

  /**
   * @param privacy says which files may be sent.
   * @param connection chooses, where its server can.
   */
  constructor(
    private readonly privacy: Privacy,
    private readonly connection: Connection,
  ) {
    this.subscription = vscode.window.onDidChangeTextEditorSelection((event) => {
      this.look(event.textEditor);
    });
  }

  /** Returns a place with parts of files beside it, and where its document lies. */
  async beside(document: vscode.TextDocument, place: Place, budget: Budget): Promise<Place> {
    if (budget.context === 0) {
      return place;
    }
    const imported = importedNames(place.before);
    const begin = place.before.length - around(place.before, "", budget).prefix.length;
    const open = sameLanguage(document).map((one) => one.uri.toString());
    const key = JSON.stringify([place.document, budget, begin, imported, open.sort()]);
    const line = place.before.split("\n").length;
    if (this.chosen?.key !== key || Math.abs(this.chosen.line - line) > NEAR_LINES) {
      const parts = this.choose(document, place, imported, begin, budget);
      this.chosen = { key, line, parts };
    }
    const parts = await this.chosen.parts;
    // Asked again each time: what may be sent can change while somebody types.
    const allowed = await Promise.all(parts.map(({ uri }) => this.privacy.allowsFile(uri)));
    const context = parts.filter((_, index) => allowed[index]).map(({ chunk }) => chunk);
    const project = vscode.workspace.getWorkspaceFolder(document.uri)?.name ?? "";
    return { ...place, context, filename: nameOf(document.uri), project };
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private look(editor: vscode.TextEditor): void {
    const key = editor.document.uri.toString();
    this.lines.delete(key);
    this.lines.set(key, editor.selection.active.line);
    const [oldest] = this.lines.keys();
    if (this.lines.size > MOST_REMEMBERED && oldest !== undefined) {
      this.lines.delete(oldest);
    }
  }

  private async choose(
    document: vscode.TextDocument,
    place: Place,
    imported: readonly string[],
    begin: number,
    budget: Budget,
  ): Promise<readonly Part[]> {
    const files = await this.files(document, imported);
    const own = { uri: document.uri, filename: nameOf(document.uri) };
    const { suffix } = around(place.before, place.after, budget);
    // What of the document is not in its window may be shown too.
    const unseen = [place.before.slice(0, begin), place.after.slice(suffix.length)];
    const parts = unseen.filter((text) => text.trim() !== "").map((text) => ({ ...own, text }));
    const all = [...parts, ...files];
    const offered = all.map(({ filename, text }) => ({ filename, text }));
    const { signal } = new AbortController();
    const chunks =
      (await this.connection.ask(signal, (server) =>
        server.choose(
          { prefix: place.before, suffix: place.after },
          offered,
          budget.context,
          signal,
        ),
      )) ?? this.recent(files, budget.context);
    return chunks.flatMap((chunk) => {
      const uri = all.find(({ filename }) => filename === chunk.filename)?.uri;
      return uri === undefined ? [] : [{ uri, chunk }];
    });
  }

  /** Returns parts around where somebody looked last, for servers that cannot choose. */
  private recent(files: readonly File[], characters: number): Chunk[] {
    const looked = [...this.lines].reverse().flatMap(([key, line]) => {
      const file = files.find(({ uri }) => uri.toString() === key);
      return file === undefined ? [] : [{ ...file, line }];
    });
    return chunksOf(looked, characters, MOST_FILES);
  }

  /** Returns the files of a document's language that may be sent: open ones, and those near it. */
  private async files(
    document: vscode.TextDocument,
    imported: readonly string[],
  ): Promise<readonly File[]> {
    const texts = new Map<string, { uri: vscode.Uri; text: string | undefined }>();
    for (const one of sameLanguage(document)) {
      texts.set(one.uri.toString(), { uri: one.uri, text: one.getText() });
    }
    for (const uri of await filesNear(document.uri, imported)) {
      const key = uri.toString();
      texts.set(key, texts.get(key) ?? { uri, text: undefined });
    }
    const files: File[] = [];
    for (const { uri, text: known } of texts.values()) {
      if (await this.privacy.allowsFile(uri)) {
        const text = known ?? (await read(uri));
        const filename = nameOf(uri);
        if (text !== undefined && !files.some((one) => one.filename === filename)) {
          files.push({ uri, filename, text: text.replaceAll("\r\n", "\n") });
        }
      }
    }
    return files;
  }
}

/** Returns the other open documents of a document's language. */
function sameLanguage(document: vscode.TextDocument): vscode.TextDocument[] {
  return vscode.workspace.textDocuments.filter(
    (one) => one !== document && one.languageId === document.languageId,
  );
}

/** Returns a file's path within its project, or its name alone: no path of this machine. */
function nameOf(uri: vscode.Uri): string {
  const isInside = vscode.workspace.getWorkspaceFolder(uri) !== undefined;
  return isInside
    ? vscode.workspace.asRelativePath(uri, false)
    : (uri.path.split("/").at(-1) ?? "");
}
