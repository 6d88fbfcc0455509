import type { ErrorCode } from '#shared/errors.ts';

/** Why a socket is not taken. */
export interface SocketRefusal {
  /** Of HTTP, with its name. */
  readonly status: '403 Forbidden' | '404 Not Found' | '429 Too Many Requests' | '503 Service Unavailable';
  readonly code: ErrorCode;
  /** For the person whose socket it is. */
  readonly message: string;
  /** For the operator; null where nothing can be done about it. */
  readonly advice: string | null;
}

export const UNKNOWN_PATH: SocketRefusal = {
  status: '404 Not Found',
  code: 'not-found',
  message: 'there is no socket at this address',
  advice: null,
};

export const STOPPING: SocketRefusal = {
  status: '503 Service Unavailable',
  code: 'server-lost',
  message: 'the server is stopping',
  advice: null,
};

export function foreignOrigin(origin: string, host: string | undefined): SocketRefusal {
  return {
    status: '403 Forbidden',
    code: 'socket-refused',
    message: `a page of ${shown(origin)} may not connect to this server; open the server’s own page`,
    advice:
      `a page of ${shown(origin)} was refused: it asked for the host ${shown(host ?? 'none')}. If it is your own page, let ` +
      'a proxy pass the Host header on, and give the address with --public-url; if it is another site that may connect, --allow-origin.',
  };
}

export function tooManyAttempts(perMinute: number): SocketRefusal {
  return {
    status: '429 Too Many Requests',
    code: 'rate-limited',
    message: `too many connections in a minute from this network address; ${perMinute} are allowed`,
    advice: sharedAddress(`more than ${perMinute} connections in a minute`),
  };
}

export function tooManyOpen(limit: number): SocketRefusal {
  return {
    status: '429 Too Many Requests',
    code: 'rate-limited',
    message: `too many connections from this network address; ${limit} may be open at once, of all who share it`,
    advice: sharedAddress(`more than ${limit} connections at once`),
  };
}

/** Of an address whose requests are not read for a while. */
export const TOO_MANY_REQUESTS: SocketRefusal = {
  status: '429 Too Many Requests',
  code: 'rate-limited',
  message: 'too many requests from this network address',
  advice: sharedAddress('more requests than `limits.requests` allows, and went on after it was told so'),
};

export function full(limit: number): SocketRefusal {
  return {
    status: '503 Service Unavailable',
    code: 'server-lost',
    message: 'the server is full: it has as many connections as it takes',
    advice: `the server has the ${limit} connections that it takes at most (limits.connections)`,
  };
}

/** The answer to a request at a socket's address that wants none: it would be taken. */
export const WOULD_BE_TAKEN = {
  status: '426 Upgrade Required',
  code: 'socket-refused',
  message:
    'the server is here, but no WebSocket comes through to it: something on the way, such as a proxy or a filter, does not let them pass',
} as const;

function sharedAddress(what: string): string {
  return `one network address wanted ${what}. If your visitors come through a proxy of yours, start with --trust-proxy: without it all of them are one address.`;
}

/** What a stranger wrote, for a log and for people. */
function shown(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
