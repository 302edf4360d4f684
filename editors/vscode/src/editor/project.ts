/** Finds the files of a project that a document is likely to use. */

import * as vscode from "vscode";
import { LEFT_OUT_PATTERN, isLeftOut, patternOf } from "../core/imports";

const MOST_FILES = 16;
/** Of a file: larger ones are mostly tables. */
const MOST_BYTES = 50_000;
const MOST_NAMES = 100;

/** Returns files with a document's ending: those that names may name, then those of its folder. */
export async function filesNear(
  uri: vscode.Uri,
  imported: readonly string[],
): Promise<readonly vscode.Uri[]> {
  const folder = vscode.workspace.getWorkspaceFolder(uri);
  const ending = /\.(\w+)$/.exec(uri.path)?.[1];
  if (folder === undefined || ending === undefined) {
    return [];
  }
  const pattern = patternOf(imported.slice(0, MOST_NAMES), ending);
  const [named, beside] = await Promise.all([
    pattern === undefined ? [] : found(new vscode.RelativePattern(folder, pattern)),
    siblings(uri, `.${ending}`),
  ]);
  const own = uri.toString();
  const all = new Map([...named, ...beside].map((one) => [one.toString(), one]));
  return [...all].flatMap(([key, one]) => (key === own ? [] : [one])).slice(0, MOST_FILES);
}

/** Returns a file's text, undefined where it is large, no text, or cannot be read. */
export async function read(uri: vscode.Uri): Promise<string | undefined> {
  const { fs } = vscode.workspace;
  try {
    const { size } = await fs.stat(uri);
    const bytes = size > MOST_BYTES ? undefined : await fs.readFile(uri);
    return bytes && new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

async function found(pattern: vscode.RelativePattern): Promise<vscode.Uri[]> {
  const files = await vscode.workspace.findFiles(pattern, LEFT_OUT_PATTERN, MOST_FILES);
  // Not every file system looks at what is to be left out.
  const own = files.filter((one) => !isLeftOut(vscode.workspace.asRelativePath(one, false)));
  return own.sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function siblings(uri: vscode.Uri, ending: string): Promise<vscode.Uri[]> {
  const folder = vscode.Uri.joinPath(uri, "..");
  const entries = await vscode.workspace.fs.readDirectory(folder).then(
    (all) => all,
    () => [],
  );
  return entries
    .filter(([name, type]) => type === vscode.FileType.File && name.endsWith(ending))
    .map(([name]) => name)
    .sort()
    .map((name) => vscode.Uri.joinPath(folder, name));
}
