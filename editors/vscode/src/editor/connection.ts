/** Holds the server that is asked, and knows whether it answers. */

import * as vscode from "vscode";
import { Server, ServerAway, ServerRefused } from "../core/server";
import { SECTION, settingsFor } from "./settings";

const API_KEY = "hrmJax.apiKey";

/** What is known of the server; it loads its model, or refuses with a message. */
export type State =
  | { readonly kind: "idle" | "asking" | "away" | "loading" }
  | { readonly kind: "refused"; readonly message: string };

const LOADING_STATUS = 503;

/** The server that the settings name. */
export class Connection implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<State>();
  /** Fires when the state is another. */
  readonly onDidChange = this.changed.event;
  private readonly subscriptions: vscode.Disposable[];
  private current: Promise<Server> | undefined;
  private known: State = { kind: "idle" };
  private asking = 0;

  /** @param secrets hold the key of the server. */
  constructor(private readonly secrets: vscode.SecretStorage) {
    const forget = (): void => {
      this.current = undefined;
      this.become({ kind: "idle" });
    };
    this.subscriptions = [
      this.changed,
      secrets.onDidChange(forget),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(`${SECTION}.serverUrl`)) {
          forget();
        }
      }),
    ];
  }

  /** What is known of the server. */
  get state(): State {
    return this.asking > 0 ? { kind: "asking" } : this.known;
  }

  /**
   * Asks the server for something, and keeps in mind whether it answered.
   *
   * @returns undefined where it does not answer, refuses, or the signal came.
   */
  async ask<T>(
    signal: AbortSignal,
    request: (server: Server) => Promise<T>,
  ): Promise<T | undefined> {
    this.asking += 1;
    this.changed.fire(this.state);
    try {
      const answer = await request(await this.server());
      this.known = { kind: "idle" };
      return answer;
    } catch (error) {
      if (!signal.aborted) {
        this.known = stateOf(error);
      }
      return undefined;
    } finally {
      this.asking -= 1;
      this.changed.fire(this.state);
    }
  }

  /** Asks the server whether it answers; returns what is known of it then. */
  async check(): Promise<State> {
    const stopped = new AbortController();
    await this.ask(stopped.signal, (server) => server.check(stopped.signal));
    return this.known;
  }

  /** Asks for the key of the server; an empty one is none. */
  async askForKey(): Promise<void> {
    const key = await vscode.window.showInputBox({
      title: "hrm_jax: key of the server",
      prompt: "One of the keys in the file that the server was started with; empty for none.",
      password: true,
    });
    if (key === undefined) {
      return;
    }
    await (key === "" ? this.secrets.delete(API_KEY) : this.secrets.store(API_KEY, key));
  }

  dispose(): void {
    vscode.Disposable.from(...this.subscriptions).dispose();
  }

  private server(): Promise<Server> {
    this.current ??= (async () => {
      const key = await this.secrets.get(API_KEY);
      return new Server(settingsFor().serverUrl, key);
    })();
    return this.current;
  }

  private become(state: State): void {
    this.known = state;
    this.changed.fire(this.state);
  }
}

function stateOf(error: unknown): State {
  if (error instanceof ServerRefused) {
    const { status, message } = error;
    return status === LOADING_STATUS ? { kind: "loading" } : { kind: "refused", message };
  }
  if (error instanceof ServerAway) {
    return { kind: "away" };
  }
  return { kind: "refused", message: `its answer is not understood: ${String(error)}` };
}

/** Returns a signal that comes with a token, and what ends its waiting. */
export function signalOf(token: vscode.CancellationToken): {
  readonly signal: AbortSignal;
  readonly waiting: vscode.Disposable;
} {
  const stopped = new AbortController();
  const stop = (): void => {
    stopped.abort();
  };
  if (token.isCancellationRequested) {
    stop();
  }
  return { signal: stopped.signal, waiting: token.onCancellationRequested(stop) };
}
