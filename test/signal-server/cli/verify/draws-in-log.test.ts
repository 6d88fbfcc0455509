import { describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { drawsEntryBytes, type LoggedDraw } from '#shared/draw/draw-log.ts';
import type { PeerId } from '#shared/ids.ts';
import { checkDrawsInLog } from '../../../../signal-server/cli/verify/draws-in-log.ts';

const NETWORK = toBase64(new Uint8Array(16));
const ANOTHER = utf8('another entry');
const { signal } = new AbortController();

/** The request of a network under this number, and under another of its requester. */
function drawOf(counted: number, number: number, requester = 'a'): LoggedDraw {
  return {
    count: { epoch: '0123456789abcdef', network: NETWORK, number: counted },
    requester: requester.repeat(64) as PeerId,
    series: '0'.repeat(16),
    number,
    nonce: counted.toString(16).padStart(32, '0'),
    outcome: 'drawn',
  };
}

/** Five requests of one network, three of them of one requester. */
const DRAWS = [drawOf(1, 1), drawOf(2, 1, 'b'), drawOf(3, 2), drawOf(4, 2, 'b'), drawOf(5, 3)];
const OWN = DRAWS.at(-1)!;

/** What a log with these draws, one an entry with others between, says of the last of them. */
async function check(draws: readonly LoggedDraw[], { between = 3, after = 0 } = {}) {
  const others = (count: number): Uint8Array<ArrayBuffer>[] => Array<Uint8Array<ArrayBuffer>>(count).fill(ANOTHER);
  const entries = [...draws.flatMap((draw) => [...others(between), drawsEntryBytes([draw])]), ...others(after + 1)];
  const head = { origin: 'log', size: entries.length, root: new Uint8Array(32), note: '' };
  const client = {
    entries: (_head: unknown, start: number, end: number) => Promise.resolve(entries.slice(start, end)),
  };
  const place = { named: entries.length - 2 - after, index: entries.length - 1 - after };
  const { name, status, detail } = await checkDrawsInLog(OWN, place, () => Promise.resolve({ client, head }), signal);
  expect(name).toBe('log-draws');
  return [status, detail] as const;
}

describe('the draw of a receipt, beside what its log has', () => {
  it('passes where all requests before it are there once', async () => {
    expect(await check(DRAWS)).toEqual(['passed', expect.stringContaining('request 5 of its network, 3 of its')]);
    expect((await check(DRAWS, { between: 1_500, after: 5_000 }))[0]).toBe('passed');
  });

  it.each<[string, LoggedDraw[], RegExp]>([
    ['was hidden', DRAWS.slice(0, 4), /does not have this draw/],
    [
      'was made twice, and the other one logged',
      [...DRAWS.slice(0, 4), { ...OWN, nonce: 'f'.repeat(32) }],
      /not have this/,
    ],
    [
      'has a request beside it under its number',
      [...DRAWS, { ...OWN, nonce: 'f'.repeat(32) }],
      /two requests under one/,
    ],
    ['comes after another that was logged twice', [DRAWS[0]!, ...DRAWS], /two requests under one/],
    ['comes after one that was left out', DRAWS.toSpliced(1, 1), /missing in the log: the server hid it/],
  ])('fails where it %s', async (_title, draws, words) => {
    expect(await check(draws)).toEqual(['failed', expect.stringMatching(words)]);
  });

  it('leaves open whether a request of its own requester that is missing ever reached the server', async () => {
    const without = DRAWS.toSpliced(2, 1).map((draw, i) => ({ ...draw, count: { ...draw.count, number: i + 1 } }));
    const own = without.at(-1)!;
    const entries = without.map((draw) => drawsEntryBytes([draw]));
    const head = { origin: 'log', size: entries.length, root: new Uint8Array(32), note: '' };
    const client = { entries: () => Promise.resolve(entries) };
    const found = await checkDrawsInLog(own, { named: 1, index: 4 }, () => Promise.resolve({ client, head }), signal);
    expect([found.status, found.detail]).toEqual(['not-checked', expect.stringContaining('never reached the server')]);
  });

  it('says so where the first requests lie too far back, and finds what is wrong among the last all the same', async () => {
    expect(await check(DRAWS, { between: 9_000 })).toEqual(['not-checked', expect.stringContaining('entries back')]);
    const left = DRAWS.toSpliced(3, 1);
    expect((await check(left, { between: 9_000 }))[0]).toBe('failed');
  });

  it('is open where the log cannot be read', async () => {
    const open = () => Promise.reject(new ChorusError('server-lost', 'nobody answers'));
    const found = await checkDrawsInLog(OWN, { named: 1, index: 2 }, open, signal);
    expect([found.status, found.detail]).toEqual(['not-checked', expect.stringContaining('nobody answers')]);
  });
});
