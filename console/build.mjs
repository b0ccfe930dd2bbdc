// Bundles the console into a folder: node build.mjs FOLDER. Needs what package-lock.json names, in node_modules beside this file or above FOLDER.
// Names of files carry a hash of their content, so that a browser may keep them and still gets new ones.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const site = resolve(process.argv[2]);
const packages = process.argv[3] ? resolve(process.argv[3]) : join(here, "node_modules");
const { buildSync } = createRequire(join(packages, "here.js"))("esbuild");

const { outputFiles } = buildSync({
  entryPoints: [join(here, "src", "main.js")],
  outfile: join(site, "console.js"),
  nodePaths: [packages],
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
  loader: { ".toml": "text" },
});

rmSync(site, { recursive: true, force: true });
mkdirSync(site, { recursive: true });
let page = readFileSync(join(here, "index.html"), "utf8");
for (const { path, contents } of outputFiles) {
  const kind = path.endsWith(".css") ? "css" : "js";
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
  page = page.replace(`/console/console.${kind}`, `/console/console-${hash}.${kind}`);
  writeFileSync(join(site, `console.${kind}`), contents);
  writeFileSync(join(site, `console.${kind}.gz`), gzipSync(contents, { level: 9 }));
}
writeFileSync(join(site, "index.html"), page);
writeFileSync(join(site, "icon.svg"), readFileSync(join(here, "icon.svg")));
