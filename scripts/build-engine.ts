import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { commands } from '@yowasp/clang';

const SOURCES = new URL('../worker/engine/c/', import.meta.url);
const MODULE = new URL('../worker/engine/engine.wasm', import.meta.url);
const CLASS = new URL('../shared/judge/numeric-class.ts', import.meta.url);

const FLAGS = [
  '--target=wasm32-unknown-unknown',
  '-std=c17',
  '-O3',
  '-msimd128',
  '-ffreestanding',
  '-nostdlib',
  // Two roundings stay two: a fused multiply-add would be another number.
  '-ffp-contract=off',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wl,--no-entry',
  '-Wl,--import-memory',
  '-Wl,--export=__heap_base',
  '-Wl,--strip-all',
  '-Wl,-z,stack-size=65536',
];

/** Compiles worker/engine/c to the bytes of engine.wasm, the same ones each time: clang itself is a WebAssembly module. */
export async function compileEngine(): Promise<Uint8Array> {
  const names = (await readdir(SOURCES)).sort();
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, SOURCES), 'utf8')] as const)),
  );
  const sources = names.filter((name) => name.endsWith('.c'));
  const made = await commands.clang([...FLAGS, ...sources, '-o', 'engine.wasm'], files);
  return made?.['engine.wasm'] as Uint8Array;
}

/** SHA-256 of the module in hexadecimal; its numeric class ends with the first 16 digits. */
export function moduleDigest(module: Uint8Array): string {
  return createHash('sha256').update(module).digest('hex');
}

/** Compiles into the tree, and names the class anew; or into the file that is named, and nothing else. */
async function main(output: string | undefined): Promise<void> {
  // Optimizing the 75 MB of clang takes longer than running them once as they are.
  setFlagsFromString('--liftoff-only');
  const module = await compileEngine();
  await writeFile(output ?? MODULE, module);
  if (output !== undefined) return;
  const text = await readFile(CLASS, 'utf8');
  const digest = moduleDigest(module);
  const named = text
    .replace(/int16\/[0-9a-f]{16}/, `int16/${digest.slice(0, 16)}`)
    .replace(/'[0-9a-f]{64}'/, `'${digest}'`);
  await writeFile(CLASS, named);
  console.log(`${module.length} bytes, ${digest}`);
}

if (process.argv[1]?.endsWith('build-engine.ts')) await main(process.argv[2]);
