import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  root: 'web',
  plugins: [svelte({ configFile: false })],
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: 'es2023',
    sourcemap: true,
    // The runtime's two WASM binaries are assets of 13 and 26 MB; gzipping them only to print a size costs seconds.
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': serverUrl(), '/blobs': serverUrl(), '/control': socket(), '/peerjs': socket() } },
});

/** Where `npm run dev` finds a running Chorus server. */
function serverUrl(): string {
  return process.env['CHORUS_SERVER'] ?? 'http://localhost:8787';
}

function socket(): { target: string; ws: boolean } {
  return { target: serverUrl(), ws: true };
}
