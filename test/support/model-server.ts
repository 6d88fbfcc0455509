import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { importWren } from './imported-wren.ts';

/** An address where any page can read the default model's `manifest.json` and `blobs/DIGEST`. */
export interface ModelServer {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startModelServer(): Promise<ModelServer> {
  const wren = await importWren();
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('cross-origin-resource-policy', 'cross-origin');
    const digest = /^\/blobs\/([0-9a-f]{64})$/.exec(request.url ?? '')?.[1];
    if (request.url === '/manifest.json') {
      response.end(JSON.stringify(wren.manifest));
    } else if (digest !== undefined) {
      createReadStream(join(wren.dataFolder, 'blobs', digest))
        .on('error', () => response.writeHead(404).end())
        .pipe(response);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
