// Compiles src/ into artifacts/. With --check it compares instead of writing, and fails when a byte differs.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
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
  .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
  .sort();
const sources = Object.fromEntries(files.map((file) => [file, { content: readFileSync(join(root, file), "utf8") }]));
const sourceSha256 = createHash("sha256").update(JSON.stringify(sources)).digest("hex");

const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}

const { outputSelection, ...shownSettings } = settings;
const differing = [];
mkdirSync(join(root, "artifacts"), { recursive: true });
for (const file of files) {
  for (const [name, contract] of Object.entries(output.contracts[file] ?? {})) {
    const deployed = contract.evm.deployedBytecode.object;
    if (deployed === "") continue; // abstract contracts and interfaces
    const artifact = {
      contractName: name,
      source: file,
      solc: solc.version(),
      settings: shownSettings,
      abi: contract.abi,
      bytecode: `0x${contract.evm.bytecode.object}`,
      deployedBytecode: `0x${deployed}`,
    };
    const path = join(root, "artifacts", `${name}.json`);
    const text = `${JSON.stringify(artifact, null, 1)}\n`;
    if (!check) writeFileSync(path, text);
    else if (!existsSync(path) || readFileSync(path, "utf8") !== text) differing.push(name);
  }
}
if (differing.length > 0) {
  console.error(`these artifacts do not come from the sources: ${differing.join(", ")}; run node build.mjs`);
  process.exit(1);
}
console.log(`${check ? "proved" : "compiled"} ${files.length} files, sources sha256 ${sourceSha256}`);
