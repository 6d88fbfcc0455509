import type { IncomingMessage } from 'node:http';

/** Of an upgrade request. Its value is drawn each time a server starts, and goes nowhere but over its own loopback. */
export const OWN_TOKEN_HEADER = 'x-chorus-own';

/** True for a request of a part of this very process: limits of one address are for others. */
export function isOwnRequest(request: IncomingMessage, ownToken: string | undefined): boolean {
  return ownToken !== undefined && request.headers[OWN_TOKEN_HEADER] === ownToken;
}
