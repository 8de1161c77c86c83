// Compiles src/ into artifacts/. With --check it compares instead of writing, and fails when a byte differs.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const root = dirname(fileURLToPath(import.meta.url));
const check = process.argv.includes("--check");

// Reproducible: no metadata hash, no CBOR trailer, a named EVM version.
const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "prague",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

const files = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".sol"))
  .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll(sep, "/"))
  .sort();
const sources = {};

// What a contract is made of: its file and, one after the other, what that imports. A name that is no relative path is
// one of npm's.
function madeOf(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const folder = file.startsWith("src/") ? root : join(root, "node_modules");
  sources[file] ??= { content: readFileSync(join(folder, file), "utf8") };
  for (const [, path] of sources[file].content.matchAll(/^import .* from "(.+)";$/gm)) {
    madeOf(path.startsWith(".") ? posix.join(posix.dirname(file), path) : path, found);
  }
  return found;
}
for (const file of files) madeOf(file);

function sha256(names) {
  const hash = createHash("sha256");
  for (const name of [...names].sort()) hash.update(`${name}\0${sources[name].content}\0`);
  return hash.digest("hex");
}

const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
// A warning is an error too, where it is about our own sources.
const errors = (output.errors ?? []).filter(
  ({ severity, sourceLocation }) =>
    severity === "error" || (severity === "warning" && !sourceLocation?.file.startsWith("@")),
);
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}

const { outputSelection, ...shownSettings } = settings;
const differing = [];
const expected = new Set();
mkdirSync(join(root, "artifacts"), { recursive: true });
for (const file of files) {
  for (const [name, contract] of Object.entries(output.contracts[file] ?? {})) {
    const deployed = contract.evm.deployedBytecode.object;
    if (deployed === "") continue; // abstract contracts and interfaces
    const artifact = {
      contractName: name,
      source: file,
      sourceSha256: sha256(madeOf(file)),
      solc: solc.version(),
      settings: shownSettings,
      abi: contract.abi,
      bytecode: `0x${contract.evm.bytecode.object}`,
      deployedBytecode: `0x${deployed}`,
    };
    expected.add(`${name}.json`);
    const path = join(root, "artifacts", `${name}.json`);
    const text = `${JSON.stringify(artifact, null, 1)}\n`;
    if (!check) writeFileSync(path, text);
    else if (!existsSync(path) || readFileSync(path, "utf8") !== text) differing.push(name);
  }
}
for (const name of readdirSync(join(root, "artifacts"))) {
  if (expected.has(name)) continue;
  if (check) differing.push(`${name} (has no source)`);
  else rmSync(join(root, "artifacts", name));
}
if (differing.length > 0) {
  console.error(`these artifacts do not come from the sources: ${differing.join(", ")}; run node build.mjs`);
  process.exit(1);
}
console.log(`${check ? "proved" : "compiled"} ${files.length} files, sources sha256 ${sha256(files)}`);
