// Imports a package of *this* folder's node_modules, so that scripts elsewhere can use them.
import { readFileSync } from "node:fs";

export const load = (specifier) => import(specifier);

export const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), "utf8")).version;
