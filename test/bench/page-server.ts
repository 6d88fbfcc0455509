import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { createServer, type ViteDevServer } from 'vite';

/**
 * Serves the bench page and the repository's files, and passes everything else on to a Chorus server. `modules` are what
 * the page will import.
 */
export async function startPageServer(
  serverUrl: string,
  modules: readonly string[] = ['test/bench/page/*.ts', 'worker/main.ts'],
): Promise<{ url: string; stop(): Promise<void> }> {
  const target = { target: serverUrl, ws: true };
  const server: ViteDevServer = await createServer({
    configFile: false,
    root: fileURLToPath(new URL('../../', import.meta.url)),
    plugins: [svelte()],
    logLevel: 'error',
    worker: { format: 'es' },
    optimizeDeps: {
      entries: [...modules],
      exclude: ['onnxruntime-web', '@xenova/transformers'],
    },
    server: {
      host: '127.0.0.1',
      port: 0,
      hmr: false,
      watch: null,
      proxy: { '/api': target, '/blobs': target, '/control': target, '/peerjs': target },
    },
  });
  await server.listen();
  const address = server.httpServer?.address();
  if (address === null || address === undefined || typeof address === 'string') throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}/test/bench/page/index.html`, stop: () => server.close() };
}
