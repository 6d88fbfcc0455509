import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  addressPrefix,
  cappedAs,
  clientAddress,
  clientOf,
  isAllowedOrigin,
} from '../../../signal-server/gate/address.ts';

const requestWith = (headers: Record<string, string>): IncomingMessage =>
  ({ headers, socket: { remoteAddress: '192.0.2.9' } }) as unknown as IncomingMessage;

describe('address prefixes', () => {
  it.each([
    ['203.0.113.77', '203.0.113.0/24'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['127.0.0.1', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['2001:db8:aaaa:bbbb::1', '2001:db8:aaaa::/48'],
    ['2001:DB8:0AAA::', '2001:db8:aaa::/48'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['nonsense', 'unknown'],
  ])('of %s is %s', (address, prefix) => {
    expect(addressPrefix(address)).toBe(prefix);
  });
});

describe('clients', () => {
  it.each([
    ['203.0.113.77', '203.0.113.77'],
    ['::ffff:203.0.113.77', '203.0.113.77'],
    ['127.0.0.9', '127.0.0.9'],
    ['2001:db8:aaaa:bbbb::1', '2001:db8:aaaa:bbbb::/64', '2001:db8:aaaa::/48'],
    ['::1', 'loopback'],
    ['nonsense', 'unknown'],
  ])('of %s count as %s for rates, and their places as %s', (address, client, place = client) => {
    expect(clientOf(address)).toBe(client);
    expect(cappedAs(address)).toBe(place);
  });
});

describe('client addresses', () => {
  it('are the socket’s unless a proxy is trusted', () => {
    const request = requestWith({ 'x-forwarded-for': '198.51.100.1' });
    expect(clientAddress(request, false)).toBe('192.0.2.9');
    expect(clientAddress(request, true)).toBe('198.51.100.1');
  });

  it('are what our proxy added last, not what the client wrote first', () => {
    expect(clientAddress(requestWith({ 'x-forwarded-for': 'forged, 198.51.100.1' }), true)).toBe('198.51.100.1');
  });

  it('are the socket’s where the trusted proxy wrote nothing', () => {
    expect(clientAddress(requestWith({}), true)).toBe('192.0.2.9');
  });
});

describe('origins', () => {
  it.each([
    [{ host: 'chorus.example:8787' }, true],
    [{ host: 'localhost:8787', origin: 'http://localhost:8787' }, true],
    [{ host: '192.0.2.7:8787', origin: 'http://192.0.2.7:8787' }, true],
    [{ host: '[2001:db8::7]:8787', origin: 'http://[2001:db8::7]:8787' }, true],
    [{ host: 'attic', origin: 'http://attic' }, true],
    [{ host: 'attic.local:8787', origin: 'http://attic.local:8787' }, true],
    [{ host: 'rebound.example:8787', origin: 'http://rebound.example:8787' }, false],
    [{ host: 'localhost.rebound.example', origin: 'http://localhost.rebound.example' }, false],
    [{ host: 'chorus.example:8787', origin: 'http://chorus.example' }, false],
    [{ host: 'chorus.example', origin: 'https://evil.example' }, false],
    [{ host: 'chorus.example', origin: 'null' }, false],
    [{ host: 'chorus.example', origin: 'https://allowed.example' }, true],
  ])('%o: allowed is %s', (headers, isAllowed) => {
    expect(isAllowedOrigin(requestWith(headers as Record<string, string>), ['https://allowed.example'])).toBe(
      isAllowed,
    );
  });
});
