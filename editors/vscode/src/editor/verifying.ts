/** Writes code that passes the selected tests or examples, and shows it before it is inserted. */

import * as vscode from "vscode";
import { type Target, insertion, targetOf } from "../core/definitions";
import type { Verdict } from "../core/server";
import { type Connection, signalOf } from "./connection";
import type { Privacy } from "./privacy";
import { settingsFor } from "./settings";

const SCHEME = "hrm-jax-preview";

/** The command, and the documents that it shows. */
export class Verifying implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private readonly shown = new Map<string, string>();
  private count = 0;

  constructor(
    private readonly connection: Connection,
    private readonly privacy: Privacy,
  ) {
    this.subscription = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.shown.get(uri.toString()) ?? "";
  }

  dispose(): void {
    this.subscription.dispose();
  }

  /** Asks for what the selection of an editor wants, shows it, and inserts it if it is liked. */
  async run(editor: vscode.TextEditor): Promise<void> {
    const { document, selection } = editor;
    if (!(await this.privacy.allows(document))) {
      await tell("this file is not sent: .gitignore or hrmJax.exclude leaves it out.");
      return;
    }
    const text = document.getText().replaceAll("\r\n", "\n");
    const { start, end } = selection;
    // Whole lines that are selected end at the begin of the next one.
    const last = end.character === 0 && end.line > start.line ? end.line - 1 : end.line;
    const target = targetOf(text, start.line, last);
    if (target === undefined) {
      await tell("expected a function with a docstring, or tests, in Python; select one of them.");
      return;
    }
    const version = document.version;
    const verdict = await this.ask(document, target);
    if (verdict === undefined) {
      return;
    }
    const edit = editOf(target, verdict);
    await this.preview(document, edit, verdict);
    if (!(await isLiked(verdict))) {
      return;
    }
    if (document.version !== version) {
      await tell("the file was changed meanwhile, so nothing was inserted; ask again.");
      return;
    }
    const range = new vscode.Range(edit.begin, 0, edit.end, 0);
    const change = new vscode.WorkspaceEdit();
    change.replace(document.uri, document.validateRange(range), edit.text);
    await vscode.workspace.applyEdit(change);
    await vscode.window.showTextDocument(document);
  }

  private async ask(document: vscode.TextDocument, target: Target): Promise<Verdict | undefined> {
    const budget = settingsFor(document).verify;
    const progress = {
      location: vscode.ProgressLocation.Notification,
      title: "hrm_jax: writing until it passes",
      cancellable: true,
    };
    const found = await vscode.window.withProgress(progress, async (_, token) => {
      const { signal, waiting } = signalOf(token);
      const ask = this.connection.ask(signal, (server) =>
        server.verify(target.wanted, budget, signal),
      );
      const verdict = await ask;
      waiting.dispose();
      return { verdict, stopped: signal.aborted };
    });
    if (found.verdict === undefined && !found.stopped) {
      const { state } = this.connection;
      await tell(state.kind === "refused" ? state.message : "no server answers.");
    }
    return found.verdict;
  }

  private async preview(
    document: vscode.TextDocument,
    edit: Edit,
    verdict: Verdict,
  ): Promise<void> {
    const lines = document.getText().replaceAll("\r\n", "\n").split("\n");
    const before = lines.slice(0, edit.begin).join("\n") + (edit.begin > 0 ? "\n" : "");
    this.count += 1;
    // The name keeps its ending, so that the text is coloured.
    const path = `/${this.count.toString()}/${document.uri.path.split("/").at(-1) ?? ""}`;
    const uri = vscode.Uri.from({ scheme: SCHEME, path });
    this.shown.set(uri.toString(), before + edit.text + lines.slice(edit.end).join("\n"));
    await vscode.commands.executeCommand("vscode.diff", document.uri, uri, titleOf(verdict));
  }
}

interface Edit {
  readonly begin: number;
  readonly end: number;
  readonly text: string;
}

function editOf(target: Target, verdict: Verdict): Edit {
  const { begin, end } = target;
  const text = insertion(target, verdict.text);
  const warning = `${target.margin}# not verified: ${oneLine(verdict.failed ?? "")}\n`;
  return { begin, end, text: verdict.verified ? text : warning + text };
}

function titleOf(verdict: Verdict): string {
  return verdict.verified ? "verified" : `NOT VERIFIED: ${oneLine(verdict.failed ?? "")}`;
}

/** Shows what is known of the code; returns whether somebody wants it. */
async function isLiked(verdict: Verdict): Promise<boolean> {
  const attempts = `${verdict.attempts.toString()} attempt${verdict.attempts === 1 ? "" : "s"}`;
  const effort = `${attempts}, ${verdict.seconds.toFixed(1)} s`;
  if (verdict.verified) {
    const insert = "Insert";
    const told = `hrm_jax: verified (${effort})`;
    return (await vscode.window.showInformationMessage(told, insert)) === insert;
  }
  const insert = "Insert Unverified";
  const told = `hrm_jax: not verified: ${oneLine(verdict.failed ?? "")} (${effort})`;
  return (await vscode.window.showWarningMessage(told, insert)) === insert;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

async function tell(message: string): Promise<void> {
  await vscode.window.showWarningMessage(`hrm_jax: ${message}`);
}
