// Makes bundle/dmp.js and bundle/dmp.js.gz from src: node build.mjs PACKAGES [FOLDER]. PACKAGES has esbuild; FOLDER is bundle unless it is said.
// `make snippet` runs it. The results are part of the repository, so that nobody who runs DMP or takes the package needs a build.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const packages = resolve(process.argv[2]);
const folder = resolve(process.argv[3] ?? join(here, "bundle"));
const { build } = createRequire(join(packages, "here.js"))("esbuild");

// A constant of one module that is a number, a text or a pattern: its name is for readers, and esbuild keeps it.
const CONSTANT = /^const ([A-Z_]+) = ([\d_.]+|"[^"\n]*"|\/\^.*\$\/);.*\n/gm;

const withoutConstants = {
  name: "constants",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      let contents = readFileSync(path, "utf8");
      for (const [line, name, value] of contents.matchAll(CONSTANT)) {
        contents = contents.replace(line, "").replace(new RegExp(`\\b${name}\\b`, "g"), () => value);
      }
      return { contents };
    }),
};

const { outputFiles } = await build({
  entryPoints: [join(here, "src", "main.js")],
  plugins: [withoutConstants],
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: "es2021",
  charset: "utf8",
});
const [{ contents }] = outputFiles;

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "dmp.js"), contents);
writeFileSync(join(folder, "dmp.js.gz"), gzipSync(contents, { level: 9 }));
