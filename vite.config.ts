import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { compression } from 'vite-plugin-compression2';

/** Which plugin took how long is no news to who starts a server. */
const checks = { pluginTimings: false };

export default defineConfig({
  root: 'web',
  plugins: [
    svelte({ configFile: false }),
    // The worker unpacks it itself (worker/warm-up.ts says why).
    compression({ include: /\.wasm$/, algorithms: ['gzip'], deleteOriginalAssets: true, logLevel: 'silent' }),
  ],
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: 'es2023',
    sourcemap: true,
    // Gzipping the runtime's two binaries, 14 and 27 MB, only to print a size costs seconds.
    reportCompressedSize: false,
    rolldownOptions: { checks },
  },
  worker: { format: 'es', rolldownOptions: { checks } },
  server: {
    proxy: {
      ...Object.fromEntries(['/api', '/blobs', '/log', '/v1'].map((path) => [path, serverUrl()])),
      ...Object.fromEntries(['/control', '/peerjs'].map((path) => [path, socket()])),
    },
  },
});

/** Where `npm run dev` finds a running Chorus server. */
function serverUrl(): string {
  return process.env['CHORUS_SERVER'] ?? 'http://localhost:8787';
}

function socket(): { target: string; ws: boolean } {
  return { target: serverUrl(), ws: true };
}
