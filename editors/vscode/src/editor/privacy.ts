/** Decides which documents may be sent. */

import * as vscode from "vscode";
import { type IgnoreFile, isExcluded } from "../core/exclusions";
import { settingsFor } from "./settings";

const RULES = ".gitignore";
const REPOSITORY = ".git";
/** The editor's own files, such as its settings. */
const OWN_SCHEMES = new Set(["vscode-userdata", "vscode-settings"]);
const KEPT_MILLISECONDS = 5000;

interface Folder {
  readonly rules: string | undefined;
  /** Whether a repository begins here, above which git looks at no rules. */
  readonly isTop: boolean;
}

/** Reads `.gitignore` files, and remembers them for a moment. */
export class Privacy implements vscode.Disposable {
  private readonly folders = new Map<string, Promise<Folder>>();
  private readonly subscription: vscode.Disposable;
  private readAt = 0;

  constructor() {
    this.subscription = vscode.workspace.onDidSaveTextDocument((document) => {
      if (document.uri.path.endsWith(`/${RULES}`)) {
        this.folders.clear();
      }
    });
  }

  /** Returns whether a document may be sent: neither git nor a pattern of the settings leaves it out. */
  allows(document: vscode.TextDocument): Promise<boolean> {
    return this.allowsFile(document.uri);
  }

  /** Returns whether a file may be sent. */
  async allowsFile(uri: vscode.Uri): Promise<boolean> {
    if (uri.scheme === "untitled") {
      return true;
    }
    const isFile = vscode.workspace.fs.isWritableFileSystem(uri.scheme) !== undefined;
    if (!isFile || OWN_SCHEMES.has(uri.scheme)) {
      return false;
    }
    const path = uri.path.replace(/^\/+/, "");
    const ignoreFiles = await this.ignoreFiles(uri);
    return !isExcluded(path, ignoreFiles, settingsFor(uri).exclude);
  }

  dispose(): void {
    this.subscription.dispose();
  }

  /** Returns the rules of all folders that a file is in, up to its repository. */
  private async ignoreFiles(uri: vscode.Uri): Promise<IgnoreFile[]> {
    if (Date.now() - this.readAt > KEPT_MILLISECONDS) {
      this.folders.clear();
      this.readAt = Date.now();
    }
    const found: IgnoreFile[] = [];
    const names = uri.path.replace(/^\/+/, "").split("/");
    for (let depth = names.length - 1; depth >= 0; depth -= 1) {
      const folder = names.slice(0, depth).join("/");
      const { rules, isTop } = await this.folder(uri.with({ path: `/${folder}` }));
      if (rules !== undefined) {
        found.push({ folder, rules });
      }
      if (isTop) {
        break;
      }
    }
    return found;
  }

  private folder(uri: vscode.Uri): Promise<Folder> {
    const key = uri.toString();
    let found = this.folders.get(key);
    if (found === undefined) {
      found = readFolder(uri);
      this.folders.set(key, found);
    }
    return found;
  }
}

async function readFolder(uri: vscode.Uri): Promise<Folder> {
  const { fs } = vscode.workspace;
  const absent = (): undefined => undefined;
  const [rules, repository] = await Promise.all([
    fs
      .readFile(vscode.Uri.joinPath(uri, RULES))
      .then((bytes) => new TextDecoder().decode(bytes), absent),
    fs.stat(vscode.Uri.joinPath(uri, REPOSITORY)).then((stat) => stat, absent),
  ]);
  return { rules, isTop: repository !== undefined };
}
