import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import manifest from "../../package.json";
import { type IgnoreFile, isExcluded } from "../../src/core/exclusions";

const exclude = manifest.contributes.configuration.properties["hrmJax.exclude"].default;

test("secrets are excluded by default, wherever they are", () => {
  const secrets = [".env", ".env.local", "a/.env", "b/server.pem", ".ssh/config", "a/id_rsa"];
  for (const path of [...secrets, "a/.aws/credentials", ".npmrc", "x/secrets.yaml"]) {
    assert.ok(isExcluded(path, [], exclude), path);
  }
  for (const path of ["main.py", "environment.py", "src/secrets.py", "a/key.py", "keys.ts"]) {
    assert.ok(!isExcluded(path, [], exclude), path);
  }
});

test("a deeper file of rules takes back what one above says, a pattern never", () => {
  const files = [
    { folder: "", rules: "*.log\nbuild/" },
    { folder: "a", rules: "!keep.log\n!build/" },
  ];
  assert.ok(isExcluded("a/x.log", files, []));
  assert.ok(!isExcluded("a/keep.log", files, []));
  assert.ok(isExcluded("build/x.py", files, []));
  assert.ok(isExcluded("a/keep.log", files, ["*.log"]));
});

const folderName = fc.constantFrom("a", "b", "c", "build");
const fileName = fc.constantFrom("x.log", "y.py");
const name = fc.oneof(folderName, fileName);
const path = fc
  .tuple(fc.array(folderName, { maxLength: 3 }), fileName)
  .map(([folders, file]) => [...folders, file].join("/"));
const rule = fc
  .tuple(
    fc.constantFrom("", "!", "/"),
    fc.constantFrom(path, name, fc.constant("*.log")),
    fc.constantFrom("", "/", "/*", "/**"),
  )
  .chain(([begin, middle, end]) => middle.map((one) => begin + one + end));
const rules = fc.array(rule, { maxLength: 4 }).map((lines) => lines.join("\n"));
const folder = fc.constantFrom("", "a", "a/b", "build");
const ignoreFiles = fc.uniqueArray(fc.record<IgnoreFile>({ folder, rules }), {
  maxLength: 3,
  selector: (one) => one.folder,
});

function ignoredByGit(top: string, paths: readonly string[]): Set<string> {
  const run = spawnSync("git", ["check-ignore", "--no-index", "--stdin"], {
    cwd: top,
    input: paths.join("\n"),
    encoding: "utf8",
  });
  return new Set(run.stdout.split("\n"));
}

test("git ignores the same files", () => {
  const top = mkdtempSync(join(tmpdir(), "ignored-"));
  try {
    execFileSync("git", ["init", "-q", top]);
    fc.assert(
      fc.property(ignoreFiles, fc.uniqueArray(path, { minLength: 1 }), (files, paths) => {
        const places = files.map((file) => join(top, file.folder, ".gitignore"));
        try {
          places.forEach((place, index) => {
            mkdirSync(dirname(place), { recursive: true });
            writeFileSync(place, files[index]!.rules);
          });
          const ignored = ignoredByGit(top, paths);
          for (const one of paths) {
            assert.equal(isExcluded(one, files, []), ignored.has(one), one);
          }
        } finally {
          places.forEach((place) => {
            rmSync(place);
          });
        }
      }),
    );
  } finally {
    rmSync(top, { recursive: true });
  }
});
