import { timingSafeEqual } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import express from 'express';
import { ExpressPeerServer } from 'peer';
import { WebSocketServer, type WebSocket } from 'ws';
import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { peerIdSchema, type PeerId } from '#shared/ids.ts';
import { MAX_CONTROL_MESSAGE_BYTES } from '#shared/limits.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';

/** Where PeerJS clients with `path: '/peerjs'` connect. */
export const PEER_MOUNT_PATH = '/peerjs/peerjs';

/** A peer that leaves more than this unread is disconnected. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** The messages that PeerJS clients send. `payload` is the description or candidate, for the other peer to judge. */
const introductionSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('HEARTBEAT') }),
  z.object({
    type: z.enum(['OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'EXPIRE']),
    dst: peerIdSchema,
    payload: z.unknown(),
  }),
]);

export interface PeerMountDeps {
  readonly clock: Clock;
  /** The token that this peer's control socket was given; undefined if it has none open. */
  readonly tokenOf: (id: PeerId) => string | undefined;
  readonly limits: Pick<Config['limits'], 'introductions'>;
}

export interface PeerMount {
  /** Takes over an accepted socket if its id and token are right; closes it otherwise. */
  accept(socket: WebSocket, url: URL): void;
  /** Closes the socket of a peer whose control socket is gone. */
  drop(id: PeerId): void;
}

/**
 * PeerJS's server, fenced in. Of it there are no HTTP routes, no discovery and no upgrade handler; its sockets come
 * from ours, and belong to peers that have proven their id. It sees only well-formed messages to peers that are here,
 * so nothing is stored for absent ones, and a second socket of a peer only after the first has closed, since it would
 * never greet it otherwise.
 */
export function createPeerMount(httpServer: Server, deps: PeerMountDeps): PeerMount {
  const sockets = new WebSocketServer({ noServer: true });
  const fenced = new Map<PeerId, FencedSocket>();
  const peerServer = ExpressPeerServer(httpServer, {
    path: '/',
    allow_discovery: false,
    corsOptions: { origin: false },
    createWebSocketServer: () => sockets,
  });
  peerServer.on('error', () => undefined);
  // The package starts when it is mounted; this parent is attached to no server.
  express().use('/', peerServer as unknown as express.Application);

  return {
    accept(socket, url) {
      const id = peerIdSchema.safeParse(url.searchParams.get('id'));
      const token = url.searchParams.get('token') ?? '';
      const expected = id.success ? deps.tokenOf(id.data) : undefined;
      socket.on('error', () => undefined);
      if (!id.success || expected === undefined || !sameToken(token, expected)) {
        socket.close(1008, 'unknown id or token');
        return;
      }
      const own = new FencedSocket(socket, (message) => message.type === 'HEARTBEAT' || fenced.has(message.dst), deps);
      const before = fenced.get(id.data);
      fenced.set(id.data, own);
      own.once('close', () => {
        if (fenced.get(id.data) === own) fenced.delete(id.data);
      });
      const greet = (): void => {
        const url = `/?${new URLSearchParams({ id: id.data, token, key: 'peerjs' }).toString()}`;
        if (own.isOpen) sockets.emit('connection', own, { url });
      };
      if (before === undefined) greet();
      else {
        before.once('close', greet);
        before.terminate();
      }
    },
    drop(id) {
      fenced.get(id)?.terminate();
    },
  };
}

type Introduction = z.infer<typeof introductionSchema>;

/** The part of a WebSocket that the package uses, with messages checked on the way in. */
class FencedSocket extends EventEmitter {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, mayPass: (message: Introduction) => boolean, deps: PeerMountDeps) {
    super();
    this.#socket = socket;
    const budget = new TokenBucket(deps.limits.introductions, () => deps.clock.nowMs());
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const message = isBinary || data.length > MAX_CONTROL_MESSAGE_BYTES ? null : parseIntroduction(data);
      if (message === null || !budget.take(1)) socket.close(1008, 'not a message for this server, or too many');
      else if (mayPass(message)) this.emit('message', JSON.stringify(message));
      else if (message.type === 'OFFER') this.send(JSON.stringify({ type: 'EXPIRE', src: message.dst }));
    });
    socket.on('close', () => this.emit('close'));
    socket.on('error', (error) => this.emit('error', error));
    this.on('error', () => undefined);
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  send(data: string): void {
    if (!this.isOpen) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) this.terminate();
    else this.#socket.send(data);
  }

  close(): void {
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

function parseIntroduction(data: Buffer): Introduction | null {
  try {
    return introductionSchema.parse(JSON.parse(data.toString('utf8')));
  } catch {
    return null;
  }
}

function sameToken(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
