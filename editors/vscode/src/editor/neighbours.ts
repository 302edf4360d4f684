/** Knows which files somebody worked in last, and takes parts of them for a prompt. */

import * as vscode from "vscode";
import { type Chunk, chunksOf } from "../core/chunks";
import type { Privacy } from "./privacy";

const MOST_REMEMBERED = 20;
const MOST_FILES = 4;

/**
 * The files that were looked at, the most recent first.
 *
 * What a document is shown with stays the same while somebody stays in it: it stands at the begin of
 * the prompt, and with another one the server would read everything anew.
 */
export class Neighbours implements vscode.Disposable {
  private readonly lines = new Map<string, number>();
  private readonly subscription: vscode.Disposable;
  private chosen: { document: string; characters: number; chunks: Promise<Chunk[]> } | undefined;

  /** @param privacy says which files may be sent. */
  constructor(private readonly privacy: Privacy) {
    this.subscription = vscode.window.onDidChangeTextEditorSelection((event) => {
      this.look(event.textEditor);
    });
  }

  /** Returns parts of other files for a document, of a number of characters at most. */
  chunks(document: vscode.TextDocument, characters: number): Promise<Chunk[]> {
    const key = document.uri.toString();
    if (this.chosen?.document !== key || this.chosen.characters !== characters) {
      const chunks = this.choose(document, characters);
      this.chosen = { document: key, characters, chunks };
    }
    return this.chosen.chunks;
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

  private async choose(document: vscode.TextDocument, characters: number): Promise<Chunk[]> {
    if (characters === 0) {
      return [];
    }
    const open = new Map(vscode.workspace.textDocuments.map((one) => [one.uri.toString(), one]));
    const recent = [...this.lines].reverse().filter(([key]) => key !== document.uri.toString());
    const found = await Promise.all(
      recent.map(async ([key, line]) => {
        const other = open.get(key);
        if (other?.languageId !== document.languageId || !(await this.privacy.allows(other))) {
          return [];
        }
        const filename = vscode.workspace.asRelativePath(other.uri);
        return [{ filename, text: other.getText().replaceAll("\r\n", "\n"), line }];
      }),
    );
    return chunksOf(found.flat(), characters, MOST_FILES);
  }
}
