import { svelte } from '@sveltejs/vite-plugin-svelte';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { chromiumArgs, findChromium } from './scripts/find-chromium.ts';
import { madeReceipts } from './test/support/made-receipts-plugin.ts';

const executablePath = findChromium() ?? undefined;

/** Tests of what is pure. */
const pure = ['test/shared/**/*.test.ts'];
/** Of these, tests that run the inference runtime or another one's native code. */
const withRuntime = [
  ...['test/shared/model/cut.test.ts', 'test/shared/model/unfold-attention.test.ts'],
  'test/shared/text/oracle.test.ts',
];

/** A loaded machine of two cores may take seconds over what takes milliseconds alone. */
const patient = { poll: { timeout: 15_000 } };

/** `--mode thorough` for test/support/effort.ts, since a project does not have the mode of the whole. */
function effort(mode: string): Record<string, string> {
  return { CHORUS_TEST_EFFORT: mode === 'thorough' ? 'thorough' : 'usual' };
}

export default defineConfig(({ mode }) => ({
  test: {
    // Two cores are what a small machine has; the browser and WASM threads need their share of them.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'pure',
          env: effort(mode),
          environment: 'node',
          include: pure,
          exclude: withRuntime,
          // What is pure leaves nothing behind, so each thread loads its modules once for all files.
          pool: 'threads',
          isolate: false,
          expect: patient,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'node',
          env: effort(mode),
          environment: 'node',
          // Modules keep no state of their own, so here too they are loaded once.
          isolate: false,
          include: [...withRuntime, 'test/{contract,scripts,signal-server,worker,web,attacks}/**/*.test.ts'],
          expect: patient,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        plugins: [svelte({ configFile: false }), madeReceipts()],
        // Found at the first import they would reload the page in the middle of a test.
        optimizeDeps: {
          exclude: ['onnxruntime-web', '@lucide/svelte', 'svelte-spa-router'],
          include: [
            'zod',
            '@noble/hashes/sha2.js',
            'idb',
            'peerjs',
            'onnx-buf',
            '@bufbuild/protobuf',
            '@huggingface/tokenizers',
            '@huggingface/jinja',
            'axe-core',
            'uplot',
          ],
        },
        test: {
          name: 'browser',
          env: effort(mode),
          include: ['test/browser/**/*.test.ts'],
          globalSetup: ['test/support/browser-servers.ts'],
          expect: patient,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // Beside those in Node: while the emulated GPU works, a core is idle.
          sequence: { groupOrder: 0 },
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: { args: [...chromiumArgs], ...(executablePath === undefined ? {} : { executablePath }) },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        test: {
          name: 'e2e',
          env: effort(mode),
          environment: 'node',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/support/e2e-setup.ts'],
          expect: patient,
          testTimeout: 300_000,
          sequence: { groupOrder: 1 },
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
}));
