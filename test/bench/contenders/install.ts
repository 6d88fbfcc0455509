import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';

/** Of the contenders that are no dependencies of the project. A folder below, since `#shared` is found by the nearest package.json. */
const folder = fileURLToPath(new URL('packages', import.meta.url));
export const modulesFolder = join(folder, 'node_modules');

const listSchema = z.object({ dependencies: z.record(z.string(), z.string()) });
const versionSchema = z.object({ version: z.string() });

/** Installs what `packages/package.json` names, unless it is there; answers each package's version. */
export async function installContenders(onInstall: () => void): Promise<ReadonlyMap<string, string>> {
  const { dependencies } = listSchema.parse(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')));
  const wanted = new Map(Object.entries(dependencies));
  wanted.set(`@node-llama-cpp/${machineName()}`, wanted.get('node-llama-cpp')!);
  const installed = await Promise.all([...wanted.keys()].map(installedVersion));
  if ([...wanted.values()].some((version, i) => installed[i] !== version)) {
    onInstall();
    await install([...wanted].map(([name, version]) => `${name}@${version}`));
  }
  return wanted;
}

/**
 * Without scripts, of which one would fetch sources and build them, and without optional packages, which are binaries
 * for graphics cards, hundreds of megabytes large; the one for this machine's processor is asked for by name.
 */
async function install(packages: readonly string[]): Promise<void> {
  const flags = ['--ignore-scripts', '--omit=optional', '--no-save', '--no-package-lock', '--no-audit', '--no-fund'];
  await promisify(execFile)('npm', ['install', '--prefix', folder, ...flags, ...packages]);
}

async function installedVersion(name: string): Promise<string | null> {
  try {
    return versionSchema.parse(JSON.parse(await readFile(join(modulesFolder, name, 'package.json'), 'utf8'))).version;
  } catch {
    return null;
  }
}

/** This machine as node-llama-cpp names its binaries. */
function machineName(): string {
  const { platform, arch } = process;
  if (platform === 'darwin') return arch === 'arm64' ? 'mac-arm64-metal' : `mac-${arch}`;
  return `${platform === 'win32' ? 'win' : platform}-${arch}`;
}
