import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const BUILT = "../src/modelmill_gateway/console";

/** Writes each file compressed beside itself: the gateway sends that one and compresses nothing. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle(options, bundle) {
      for (const name of Object.keys(bundle)) {
        const file = join(options.dir ?? BUILT, name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  // Addresses in the page are relative: a proxy may have put a prefix before all of them.
  base: "./",
  build: {
    outDir: BUILT,
    emptyOutDir: true,
    target: "es2023",
    // What is inlined would be a data: address, which the policy does not allow for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Licences of what is bundled ask to go along with it.
    license: { fileName: "licences.txt" },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [compressed()],
});
