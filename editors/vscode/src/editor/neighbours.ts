/** Knows which files somebody worked in last, and takes parts of them for a prompt. */

import * as vscode from "vscode";
import { type Chunk, type Neighbour, chunksOf } from "../core/chunks";
import type { Privacy } from "./privacy";

const MOST_REMEMBERED = 20;
const MOST_FILES = 4;

interface Part {
  readonly document: vscode.TextDocument;
  readonly chunk: Chunk;
}

/**
 * The files that were looked at, the most recent first.
 *
 * What a document is shown with stays the same while somebody stays in it: it stands at the begin of
 * the prompt, and with another one the server would read everything anew.
 */
export class Neighbours implements vscode.Disposable {
  private readonly lines = new Map<string, number>();
  private readonly subscription: vscode.Disposable;
  private chosen: { document: string; characters: number; parts: Part[] } | undefined;

  /** @param privacy says which files may be sent. */
  constructor(private readonly privacy: Privacy) {
    this.subscription = vscode.window.onDidChangeTextEditorSelection((event) => {
      this.look(event.textEditor);
    });
  }

  /** Returns parts of other files for a document, of a number of characters at most. */
  async chunks(document: vscode.TextDocument, characters: number): Promise<Chunk[]> {
    const key = document.uri.toString();
    if (this.chosen?.document !== key || this.chosen.characters !== characters) {
      const parts = characters === 0 ? [] : await this.choose(document, characters);
      this.chosen = { document: key, characters, parts };
    }
    const { parts } = this.chosen;
    // Asked again each time: what may be sent can change while somebody types.
    const allowed = await Promise.all(parts.map((part) => this.privacy.allows(part.document)));
    return parts.filter((_, index) => allowed[index]).map((part) => part.chunk);
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

  private async choose(document: vscode.TextDocument, characters: number): Promise<Part[]> {
    const open = new Map(vscode.workspace.textDocuments.map((one) => [one.uri.toString(), one]));
    const recent = [...this.lines].reverse().filter(([key]) => key !== document.uri.toString());
    const files = new Map<string, vscode.TextDocument>();
    const neighbours: Neighbour[] = [];
    for (const [key, line] of recent) {
      const other = open.get(key);
      if (other?.languageId === document.languageId && (await this.privacy.allows(other))) {
        const filename = vscode.workspace.asRelativePath(other.uri);
        files.set(filename, other);
        neighbours.push({ filename, text: other.getText().replaceAll("\r\n", "\n"), line });
      }
    }
    return chunksOf(neighbours, characters, MOST_FILES).flatMap((chunk) => {
      const file = files.get(chunk.filename);
      return file === undefined ? [] : [{ document: file, chunk }];
    });
  }
}
