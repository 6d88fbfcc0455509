import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Config } from '../machine/config.ts';
import { cappedAs, clientAddress, clientOf, isAllowedOrigin } from './address.ts';
import { isOwnRequest } from './own-token.ts';
import {
  foreignOrigin,
  full,
  STOPPING,
  tooManyAttempts,
  tooManyOpen,
  UNKNOWN_PATH,
  type SocketRefusal,
} from './socket-refusal.ts';

/** Where a socket comes from. */
export interface SocketSource {
  readonly address: string;
  /** Whose budgets it counts for, as of `clientOf`; null for one of this very process. */
  readonly client: string | null;
}

export interface UpgradeGateDeps {
  readonly config: Pick<Config, 'allowedOrigins' | 'publicUrl' | 'trustProxy' | 'limits'>;
  /** The taker of sockets of each path, and the largest message they may send. */
  readonly paths: Readonly<
    Record<string, { maxPayloadBytes: number; accept: (socket: WebSocket, source: SocketSource, url: URL) => void }>
  >;
  /** What this process's own peers show; without it, it has none. */
  readonly ownToken: string | undefined;
  /** A stranger asks for a socket. */
  readonly onAsked: (request: IncomingMessage) => void;
  readonly onRefused: (refusal: SocketRefusal) => void;
}

export interface UpgradeGate {
  readonly open: number;
  /** Why a socket that came like this request would not be taken; null if it would be. It counts as no attempt. */
  refusalOf(request: IncomingMessage): Promise<SocketRefusal | null>;
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

  const refusalOfPage = (request: IncomingMessage): SocketRefusal | null => {
    if (isClosed) return STOPPING;
    const { origin = '', host } = request.headers;
    return isAllowedOrigin(request, allowedOrigins) ? null : foreignOrigin(origin, host);
  };
  /** `attempted` counts those of its address in this minute. */
  const refusalByLimits = (request: IncomingMessage, attempted: number): SocketRefusal | null => {
    if (!isOwnRequest(request, deps.ownToken)) {
      const { connectionAttemptsPerMinute, connectionsPerAddress } = limits;
      if (attempted > connectionAttemptsPerMinute) return tooManyAttempts(connectionAttemptsPerMinute);
      const open = openPerAddress.get(cappedAs(clientAddress(request, trustProxy))) ?? 0;
      if (open >= connectionsPerAddress) return tooManyOpen(connectionsPerAddress);
    }
    if (isClosed) return STOPPING;
    return sockets.size >= limits.connections ? full(limits.connections) : null;
  };
  const countAttempt = (address: string): Promise<number> =>
    attempts.consume(address).then(
      () => 0,
      () => Infinity,
    );
  const admit = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const isOwn = isOwnRequest(request, deps.ownToken);
    if (!isOwn) deps.onAsked(request);
    const target = `http://server${request.url ?? '/'}`;
    const url = URL.canParse(target) ? new URL(target) : null;
    const acceptor = url === null ? undefined : acceptors.get(url.pathname);
    const refuse = (refusal: SocketRefusal): void => {
      deps.onRefused(refusal);
      socket.end(`HTTP/1.1 ${refusal.status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    };
    if (url === null || acceptor === undefined) return refuse(UNKNOWN_PATH);
    const foreign = refusalOfPage(request);
    if (foreign !== null) return refuse(foreign);
    const address = clientAddress(request, trustProxy);
    const [client, place] = [clientOf(address), cappedAs(address)];
    // From here to the count of the open ones nothing else may come between.
    const refusal = refusalByLimits(request, isOwn ? 0 : await countAttempt(client));
    if (refusal !== null) return refuse(refusal);
    acceptor.server.handleUpgrade(request, socket, head, (accepted) => {
      sockets.add(accepted);
      if (!isOwn) openPerAddress.set(place, (openPerAddress.get(place) ?? 0) + 1);
      accepted.once('close', () => {
        sockets.delete(accepted);
        if (isOwn) return;
        const left = (openPerAddress.get(place) ?? 1) - 1;
        if (left === 0) openPerAddress.delete(place);
        else openPerAddress.set(place, left);
      });
      acceptor.accept(accepted, { address, client: isOwn ? null : client }, url);
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
    async refusalOf(request) {
      const counted = await attempts.get(clientOf(clientAddress(request, trustProxy)));
      return refusalOfPage(request) ?? refusalByLimits(request, counted?.consumedPoints ?? 0);
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
