import type { IncomingMessage } from 'node:http';

type Request = Pick<IncomingMessage, 'headers'>;

const UNTRUSTED =
  'a request says that a proxy passed it on (X-Forwarded-For), and no proxy is trusted: all who come through one count as one ' +
  'address and share its limits. If the proxy is yours and writes that header itself, start with --trust-proxy.';
const UNWRITTEN =
  '--trust-proxy is given, and a socket was asked for without X-Forwarded-For: if that came through your proxy, let it write ' +
  'the header; if not, keep others from reaching this port, since they may write into the header what they like.';

/** Tells the operator, once, that requests come otherwise than `--trust-proxy` says. */
export class ProxySigns {
  readonly #trustProxy: boolean;
  readonly #warn: (message: string) => void;
  #isSaid = false;

  constructor(trustProxy: boolean, warn: (message: string) => void) {
    this.#trustProxy = trustProxy;
    this.#warn = warn;
  }

  /** Looks at any request. */
  see({ headers }: Request): void {
    const isForwarded = ['x-forwarded-for', 'x-real-ip', 'forwarded'].some((name) => headers[name] !== undefined);
    if (isForwarded && !this.#trustProxy) this.#say(UNTRUSTED);
  }

  /** Looks at a stranger's request for a socket. */
  seeSocket(request: Request): void {
    this.see(request);
    if (this.#trustProxy && request.headers['x-forwarded-for'] === undefined) this.#say(UNWRITTEN);
  }

  #say(message: string): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    this.#warn(message);
  }
}
