import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '#shared/clock.ts';
import type { Config } from '../machine/config.ts';
import { clientAddress, clientOf } from './address.ts';
import { TOO_MANY_REQUESTS, type SocketRefusal } from './socket-refusal.ts';
import { TokenBucket } from './token-bucket.ts';

/** Accounts are looked through for those that are full again after so many new ones. */
const SWEEP_AFTER = 1_024;
const RETRY_SECONDS = 5;

interface Account {
  /** Of requests and new connections. */
  readonly requests: TokenBucket;
  /** Of refusals that are still answered. */
  readonly refusals: TokenBucket;
  /** Nothing more of this address is read before that. */
  shutUntilMs: number;
  /** Connections that are open. */
  open: number;
}

export interface RequestGateDeps {
  readonly clock: Pick<Clock, 'nowMs' | 'setTimer'>;
  readonly config: {
    readonly trustProxy: boolean;
    readonly limits: Pick<Config['limits'], 'requests' | 'refusedRequests' | 'tcpConnectionsPerAddress'>;
    readonly times: Pick<Config['times'], 'shutMs'>;
  };
  readonly onRefused: (refusal: SocketRefusal) => void;
}

export interface RequestGate {
  /** Ends the connections that wait. */
  close(): void;
}

/**
 * Stands before `answer`, the taker of all requests of this server. An address that asks too often is answered in a few words; one
 * that goes on all the same has its connections closed, and new ones are not read for a while: whoever waits for an answer then asks
 * no more, and neighbours are late and not refused. Behind a trusted proxy the connections are the proxy's: these stay, and
 * requests are told apart by the address that it names.
 */
export function guardRequests(server: Server, deps: RequestGateDeps, answer: RequestListener): RequestGate {
  const { limits, times, trustProxy } = deps.config;
  const nowMs = (): number => deps.clock.nowMs();
  const accounts = new Map<string, Account>();
  const waiting = new Set<Socket>();
  let sweepAbove = SWEEP_AFTER;

  function accountOf(client: string): Account {
    const known = accounts.get(client);
    if (known !== undefined) return known;
    if (accounts.size >= sweepAbove) sweep();
    const account = {
      requests: new TokenBucket(limits.requests, nowMs),
      refusals: new TokenBucket(limits.refusedRequests, nowMs),
      shutUntilMs: -Infinity,
      open: 0,
    };
    accounts.set(client, account);
    return account;
  }

  function sweep(): void {
    for (const [client, { open, requests, refusals }] of accounts)
      if (open === 0 && requests.fill === 1 && refusals.fill === 1) accounts.delete(client);
    sweepAbove = accounts.size + SWEEP_AFTER;
  }

  /** Whoever goes on while nothing is read spends what would be there afterwards. */
  function verdictOn(account: Account): 'taken' | 'refused' | 'shut' {
    const isWithin = account.requests.take(1);
    if (nowMs() < account.shutUntilMs) return 'shut';
    if (isWithin) return 'taken';
    if (account.refusals.take(1)) return 'refused';
    account.shutUntilMs = nowMs() + times.shutMs;
    deps.onRefused(TOO_MANY_REQUESTS);
    return 'shut';
  }

  // The server makes a parser for each connection: those before it, and not beside it.
  const readers = server.listeners('connection');
  server.removeAllListeners('connection');
  const read = (socket: Socket): void => readers.forEach((reader) => void reader.call(server, socket));
  server.on('connection', (socket) => {
    const address = socket.remoteAddress;
    // The parts of this very process come from there, and programs of its own machine.
    if (trustProxy || address === undefined || address === '127.0.0.1' || address === '::1') return read(socket);
    const account = accountOf(clientOf(address));
    if (account.open >= limits.tcpConnectionsPerAddress) return void socket.destroy();
    account.open += 1;
    socket.once('close', () => (account.open -= 1));
    if (verdictOn(account) === 'shut') readLater(socket, account.shutUntilMs - nowMs());
    else read(socket);
  });

  function readLater(socket: Socket, delayMs: number): void {
    waiting.add(socket);
    const cancel = deps.clock.setTimer(() => {
      waiting.delete(socket);
      read(socket);
    }, delayMs);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      cancel();
      waiting.delete(socket);
    });
  }
  server.on('request', (request, response) => {
    const verdict = verdictOn(accountOf(clientOf(clientAddress(request, trustProxy))));
    if (verdict === 'taken') answer(request, response);
    else if (verdict === 'shut' && !trustProxy) request.socket.destroy();
    else refuse(request, response);
  });

  return {
    close: () => waiting.forEach((socket) => socket.destroy()),
  };
}

const MESSAGE = 'too many requests from this address';
/** As the API and as everything else has it. */
const API_BODY = Buffer.from(
  JSON.stringify({
    error: { message: MESSAGE, type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' },
  }),
);
const BODY = Buffer.from(JSON.stringify({ error: { code: 'rate-limited', message: MESSAGE } }));

function refuse({ url }: IncomingMessage, response: ServerResponse): void {
  const body = url?.startsWith('/v1') ? API_BODY : BODY;
  response.writeHead(429, {
    'content-type': 'application/json',
    'content-length': body.length,
    'retry-after': String(RETRY_SECONDS),
    'cache-control': 'no-store',
    // A page of another origin could not read why.
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'retry-after',
  });
  response.end(body);
}
