import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { madeReceipts } from '../made-receipts-plugin.ts';

/** `npx vite -c test/support/page-gallery/vite.config.ts`: the page's views over made-up data. */
export default defineConfig({
  root: 'test/support/page-gallery',
  plugins: [svelte({ configFile: false }), madeReceipts()],
  build: { outDir: '../../../dist/gallery', emptyOutDir: true },
});
