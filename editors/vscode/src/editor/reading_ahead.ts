/** Lets the server read a document before anything is asked about it. */

import * as vscode from "vscode";
import { holeOf } from "../core/suggester";
import type { Connection } from "./connection";
import type { Neighbours } from "./neighbours";
import { placeOf } from "./place";
import type { Privacy } from "./privacy";
import { isWanted, settingsFor } from "./settings";

const CALM_MILLISECONDS = 200;
/** Characters of a prefix by which its begin is known. */
const BEGIN = 200;

/** Reads where somebody goes: into another document, or far away in the same. */
export class ReadingAhead implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private current: { document: string; reading: Promise<void>; stop: AbortController } | undefined;
  private lastRead = "";

  constructor(
    private readonly connection: Connection,
    private readonly privacy: Privacy,
    private readonly neighbours: Neighbours,
  ) {
    const follow = (editor: vscode.TextEditor | undefined): void => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.read(editor), CALM_MILLISECONDS);
    };
    this.subscription = vscode.Disposable.from(
      vscode.window.onDidChangeActiveTextEditor(follow),
      vscode.window.onDidChangeTextEditorSelection((event) => {
        follow(event.textEditor);
      }),
    );
    follow(vscode.window.activeTextEditor);
  }

  /** Waits until a document has been read, if it is being read; another one's reading ends. */
  async finish(document: string, signal: AbortSignal): Promise<void> {
    const { current } = this;
    if (current === undefined) {
      return;
    }
    if (current.document !== document) {
      current.stop.abort();
      return;
    }
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        resolve();
      });
    });
    await Promise.race([current.reading, stopped]);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.current?.stop.abort();
    this.subscription.dispose();
  }

  private async read(editor: vscode.TextEditor | undefined): Promise<void> {
    if (editor === undefined || this.connection.state.kind !== "idle") {
      return;
    }
    const { document } = editor;
    const settings = settingsFor(document);
    if (!isWanted(settings, document) || !(await this.privacy.allows(document))) {
      return;
    }
    const { budget } = settings.suggestion;
    const alone = placeOf(document, editor.selection.active, undefined);
    const place = await this.neighbours.beside(document, alone, budget);
    const hole = holeOf(place, budget);
    const shown = JSON.stringify(place.context);
    const key = [place.document, hole.prefix.slice(0, BEGIN), shown].join("\0");
    if (hole.prefix.length < BEGIN || key === this.lastRead) {
      return;
    }
    this.lastRead = key;
    this.current?.stop.abort();
    const stop = new AbortController();
    const reading = this.connection.ask(stop.signal, (server) => server.read(hole, stop.signal));
    const current = { document: place.document, reading, stop };
    this.current = current;
    await reading;
    if (this.current === current) {
      this.current = undefined;
    }
  }
}
