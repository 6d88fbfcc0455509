import { describe, expect, it } from 'vitest';
import { COSIGNATURE, formatVerifierKey } from '#shared/log/signed-note.ts';
import { adviceOn, configOf } from '../../../signal-server/cli/serve/serve-config.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import { codeOf } from '../../support/code-of.ts';

describe('the configuration', () => {
  it('has defaults for everything', () => {
    expect(parseConfig({})).toMatchObject({
      port: 8787,
      host: '0.0.0.0',
      anchors: 4,
      dataFolder: 'data',
      minStages: 1,
      turn: null,
    });
  });

  it.each([
    ['a port that is none', { port: 70_000 }],
    ['a port that is text', { port: 'http' }],
    ['a negative count of anchors', { anchors: -1 }],
    ['half an anchor', { anchors: 0.5 }],
    ['no stages', { minStages: 0 }],
    ['an unknown key', { prot: 1 }],
    ['an ICE server that is a page', { iceServers: [{ urls: 'https://example.org' }] }],
    ['a TURN server without a secret', { turn: { urls: ['turn:example.org'], secret: '' } }],
    ['a public address that is none', { publicUrl: 'example' }],
    ['a public address of another scheme', { publicUrl: 'ftp://example.org' }],
    ['a public address below the root of its host', { publicUrl: 'https://example.org/chorus/' }],
    ['a public address with a question', { publicUrl: 'https://example.org/?chorus' }],
    ['a public address with a fragment', { publicUrl: 'https://example.org/#/' }],
    ['a public address with a password', { publicUrl: 'https://me:secret@example.org/' }],
    ['an origin with a path', { allowedOrigins: ['https://example.org/page'] }],
    ['an origin with a slash at its end', { allowedOrigins: ['https://example.org/'] }],
    ['an origin that is a host', { allowedOrigins: ['example.org'] }],
    ['an unknown log level', { logLevel: 'loud' }],
    ['a rate of nothing', { limits: { messages: { perSecond: 0, burst: 1 } } }],
  ])('is refused with %s', (_title, input) => {
    expect(codeOf(() => parseConfig(input))).toBe('bad-message');
  });

  it.each([
    ['the same name', ['a.example', 1], ['a.example', 2], 'two witnesses are called a.example'],
    ['the same key', ['a.example', 1], ['b.example', 1], 'a.example and b.example have the same key'],
    ['the same name and key', ['a.example', 1], ['a.example', 1], 'two witnesses are called a.example'],
  ] as const)('is refused with two witnesses of %s', (_title, one, other, words) => {
    const lineOf = ([name, byte]: readonly [string, number], port: number) =>
      `${formatVerifierKey({ name, type: COSIGNATURE, publicKey: new Uint8Array(32).fill(byte) })} http://localhost:${port}`;
    const distinct = [lineOf(['a.example', 1], 1), lineOf(['b.example', 2], 2)];
    expect(parseConfig({ witnesses: distinct }).witnesses).toHaveLength(2);
    expect(() => parseConfig({ witnesses: [lineOf(one, 1), lineOf(other, 2)] })).toThrow(`witnesses: ${words}`);
  });

  it('names what is wrong, and what would be right', () => {
    expect(() => parseConfig({ port: -1, anchors: 'x' })).toThrow(
      'port: too small; at least 0 is allowed; anchors: must be a number',
    );
    expect(() => parseConfig({ publicUrl: 'https://example.org/chorus/' })).toThrow(
      /publicUrl: .*a host name of its own, such as https:\/\/example\.org$/,
    );
  });

  it.each(['https://example.org', 'https://example.org/', 'http://192.0.2.1:8787'])(
    'takes %s for a public address',
    (publicUrl) => {
      expect(parseConfig({ publicUrl }).publicUrl).toBe(publicUrl);
    },
  );
});

describe('advice at the start', () => {
  it.each([
    ['a proxy with https that is not trusted', { publicUrl: 'https://example.org' }, ['--trust-proxy']],
    ['a public address without https', { publicUrl: 'http://example.org' }, ['https']],
    ['a proxy with https that is trusted', { publicUrl: 'https://example.org', trustProxy: true }, []],
    ['a public address on this machine', { publicUrl: 'http://localhost:8787' }, []],
    ['no public address', {}, []],
  ])('is given on %s', (_title, input, named) => {
    const advice = adviceOn(parseConfig(input));
    expect(advice).toHaveLength(named.length);
    named.forEach((word, i) => expect(advice[i]).toContain(word));
  });
});

describe('the options of serve', () => {
  it('win over the environment, and that over the defaults', () => {
    expect(configOf({}, {}).port).toBe(8787);
    expect(configOf({}, { PORT: '9000' }).port).toBe(9000);
    expect(configOf({ port: '0' }, { PORT: '9000' }).port).toBe(0);
  });

  it('have pages talk through the server only where that is said', () => {
    expect([configOf({}, {}), configOf({ relayByDefault: true }, {})]).toMatchObject([
      { relayByDefault: false },
      { relayByDefault: true },
    ]);
  });

  it('set any limit by its name', () => {
    const { limits } = configOf({ limit: ['connections=20', 'messages=5/50', 'complaints=0.5/2'] }, {});
    expect(limits).toMatchObject({
      ...{ connections: 20, connectionsPerAddress: 128 },
      ...{ messages: { perSecond: 5, burst: 50 }, complaints: { perSecond: 0.5, burst: 2 } },
    });
  });

  it.each([
    ['a limit that there is not', 'conections=20', /--limit 'conections=20'/],
    ['a limit without a number', 'connections=many', /--limit 'connections=many'/],
    ['a rate where a number belongs', 'connections=1/2', /--limit connections: /],
    ['a number where a rate belongs', 'messages=5', /--limit messages: /],
    ['a limit of nothing', 'connections=0', /--limit connections: /],
  ])('name %s', (_title, limit, words) => {
    expect(() => configOf({ limit: [limit] }, {})).toThrow(words);
  });

  it('allow no anchors', () => {
    expect(configOf({ anchors: '0' }, {}).anchors).toBe(0);
  });

  it('read ICE servers, of one address or several, from JSON', () => {
    const iceServers = JSON.stringify([
      { urls: 'stun:a.example' },
      { urls: ['turn:b.example'], username: 'u', credential: 'c' },
    ]);
    expect(configOf({ iceServers }, {}).iceServers).toEqual([
      { urls: ['stun:a.example'] },
      { urls: ['turn:b.example'], username: 'u', credential: 'c' },
    ]);
    expect(codeOf(() => configOf({ iceServers: '[' }, {}))).toBe('bad-message');
  });

  it('take a TURN server only together with its secret', () => {
    const env = { CHORUS_TURN_URLS: 'turn:a.example, turns:b.example', CHORUS_TURN_SECRET: 's' };
    expect(configOf({}, env).turn).toMatchObject({ urls: ['turn:a.example', 'turns:b.example'], secret: 's' });
    expect(codeOf(() => configOf({ turnUrls: ['turn:a.example'] }, {}))).toBe('bad-message');
    expect(codeOf(() => configOf({ turnSecret: 's' }, {}))).toBe('bad-message');
  });

  it.each(['', 'eighty'])('refuse or skip a port such as %o', (port) => {
    if (port === '') expect(configOf({}, { PORT: port }).port).toBe(8787);
    else expect(codeOf(() => configOf({ port }, {}))).toBe('bad-message');
  });
});
