// Bundles the extension, or, with --tests, each test of what needs no editor.
import { build } from "esbuild";

const shared = { bundle: true, format: "cjs", logLevel: "warning", target: "es2022" };

if (process.argv.includes("--tests")) {
  await build({
    ...shared,
    entryPoints: ["tests/core/*.test.ts"],
    outdir: "out",
    platform: "node",
    packages: "external",
  });
} else {
  // One file for both kinds of VS Code: for a browser's, so it uses nothing of Node.
  await build({
    ...shared,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    platform: "browser",
    external: ["vscode"],
    minify: true,
  });
}
