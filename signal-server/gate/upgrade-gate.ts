import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Config } from '../machine/config.ts';
import { clientAddress, isAllowedOrigin } from './address.ts';
import { isOwnRequest } from './own-token.ts';

export interface UpgradeGateDeps {
  readonly config: Pick<Config, 'allowedOrigins' | 'publicUrl' | 'trustProxy' | 'limits'>;
  /** The taker of sockets of each path, and the largest message they may send. */
  readonly paths: Readonly<
    Record<string, { maxPayloadBytes: number; accept: (socket: WebSocket, address: string, url: URL) => void }>
  >;
  /** What this process's own peers show; without it, it has none. */
  readonly ownToken: string | undefined;
  readonly onRefused: (status: number) => void;
}

export interface UpgradeGate {
  readonly open: number;
  /** Pings every socket, so that proxies keep them. */
  ping(): void;
  /** Refuses new sockets and closes all with "going away"; resolves when the last one is gone, by force after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** The only upgrade handler of the server: known paths, allowed origins, and limits per address and in all. */
export function createUpgradeGate(server: Server, deps: UpgradeGateDeps): UpgradeGate {
  const { limits, publicUrl, trustProxy } = deps.config;
  const allowedOrigins = [...deps.config.allowedOrigins, ...(publicUrl === null ? [] : [new URL(publicUrl).origin])];
  const attempts = new RateLimiterMemory({ points: limits.connectionAttemptsPerMinute, duration: 60 });
  const openPerAddress = new Map<string, number>();
  const sockets = new Set<WebSocket>();
  const acceptors = new Map(
    Object.entries(deps.paths).map(([path, { maxPayloadBytes, accept }]) => [
      path,
      { accept, server: new WebSocketServer({ noServer: true, maxPayload: maxPayloadBytes, clientTracking: false }) },
    ]),
  );
  let isClosed = false;

  const refuse = (socket: Duplex, status: string): void => {
    deps.onRefused(Number.parseInt(status, 10));
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  };
  const admit = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const target = `http://server${request.url ?? '/'}`;
    const url = URL.canParse(target) ? new URL(target) : null;
    const acceptor = url === null ? undefined : acceptors.get(url.pathname);
    if (url === null || acceptor === undefined) return refuse(socket, '404 Not Found');
    if (isClosed) return refuse(socket, '503 Service Unavailable');
    if (!isAllowedOrigin(request, allowedOrigins)) return refuse(socket, '403 Forbidden');
    const address = clientAddress(request, trustProxy);
    const isOwn = isOwnRequest(request, deps.ownToken);
    const isWithinRate =
      isOwn ||
      (await attempts.consume(address).then(
        () => true,
        () => false,
      ));
    const open = isOwn ? 0 : (openPerAddress.get(address) ?? 0);
    if (!isWithinRate || open >= limits.connectionsPerAddress) return refuse(socket, '429 Too Many Requests');
    if (sockets.size >= limits.connections || isClosed) return refuse(socket, '503 Service Unavailable');
    acceptor.server.handleUpgrade(request, socket, head, (accepted) => {
      sockets.add(accepted);
      if (!isOwn) openPerAddress.set(address, (openPerAddress.get(address) ?? 0) + 1);
      accepted.once('close', () => {
        sockets.delete(accepted);
        if (isOwn) return;
        const left = (openPerAddress.get(address) ?? 1) - 1;
        if (left === 0) openPerAddress.delete(address);
        else openPerAddress.set(address, left);
      });
      acceptor.accept(accepted, address, url);
    });
  };
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    admit(request, socket, head).catch(() => socket.destroy());
  });

  return {
    get open() {
      return sockets.size;
    },
    ping() {
      for (const socket of sockets) if (socket.readyState === socket.OPEN) socket.ping();
    },
    async close(graceMs) {
      isClosed = true;
      const closed = [...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
      for (const socket of sockets) socket.close(1001, 'the server is stopping');
      const force = setTimeout(() => sockets.forEach((socket) => socket.terminate()), graceMs);
      await Promise.all(closed);
      clearTimeout(force);
    },
  };
}
