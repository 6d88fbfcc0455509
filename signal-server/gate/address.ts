import type { IncomingMessage } from 'node:http';
import { isIPv4, isIPv6 } from 'node:net';

/**
 * The network an address belongs to, for spreading a route over networks: /24 of IPv4, /48 of IPv6, one name for
 * everything on this machine.
 */
export function addressPrefix(address: string): string {
  const plain = plainAddress(address);
  if (isIPv4(plain)) {
    const [a, b, c] = plain.split('.');
    return a === '127' ? 'loopback' : `${a}.${b}.${c}.0/24`;
  }
  if (!isIPv6(plain)) return 'unknown';
  if (plain === '::1') return 'loopback';
  return `${groupsOf(plain).slice(0, 3).join(':')}::/48`;
}

/** Whose rates an address counts for: its own in IPv4; in IPv6, where one line has many, its /64. */
export function clientOf(address: string): string {
  const plain = plainAddress(address);
  const isWide = isIPv6(plain) && plain !== '::1';
  return isWide ? `${groupsOf(plain).slice(0, 4).join(':')}::/64` : cappedAs(plain);
}

/** Whose places an address takes: its own in IPv4; in IPv6 its /48, since a provider gives one customer that much. */
export function cappedAs(address: string): string {
  const plain = plainAddress(address);
  return isIPv4(plain) ? plain : addressPrefix(plain);
}

/** The eight groups of an IPv6 address, without leading zeros. */
function groupsOf(plain: string): string[] {
  const [left = '', right] = plain.toLowerCase().split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array.from({ length: zeros }, () => '0'), ...tail];
  return groups.map((group) => Number.parseInt(group, 16).toString(16));
}

/** The address of the client. X-Forwarded-For is the client's word unless our own proxy wrote it, so it counts only with `trustProxy`. */
export function clientAddress(request: IncomingMessage, trustProxy: boolean): string {
  const forwarded = request.headers['x-forwarded-for'];
  const last = (Array.isArray(forwarded) ? forwarded.at(-1) : forwarded)?.split(',').at(-1)?.trim();
  return (trustProxy && last) || (request.socket.remoteAddress ?? 'unknown');
}

/**
 * True if a browser page of this origin may open a socket here. Programs that are no browser send no origin and are
 * let in: the check is there so that other sites cannot use their visitors.
 */
export function isAllowedOrigin(request: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  if (allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host && isLocalName(new URL(origin).hostname);
}

/**
 * True for a name that no stranger can point at this machine. Of any other the server has to be told that it is its own: a site
 * whose name leads here for a moment would be taken for the server's own page.
 */
function isLocalName(hostname: string): boolean {
  const plain = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (isIPv4(plain) || isIPv6(plain)) return true;
  return !plain.includes('.') || /\.(?:localhost|local|lan|internal|home\.arpa)$/.test(plain);
}

function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
