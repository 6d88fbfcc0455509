import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Plugin } from 'vite';

const NAME = 'virtual:made-receipts';

/** Vite plugin: `import { made } from 'virtual:made-receipts'` gives what print-receipts.ts makes. */
export function madeReceipts(): Plugin {
  let making: Promise<string> | null = null;
  return {
    name: 'made-receipts',
    resolveId: (id) => (id === NAME ? `\0${NAME}` : null),
    load: async (id) => {
      if (id !== `\0${NAME}`) return null;
      making ??= make();
      return `export const made = ${await making};`;
    },
  };
}

async function make(): Promise<string> {
  const args = ['--import', 'tsx', 'test/support/print-receipts.ts'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}
