import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromBase64 } from '#shared/bytes.ts';
import { solveWork } from '#shared/crypto/work.ts';
import { WORK_PUZZLES } from '#shared/limits.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { epochOf } from '../../../signal-server/admission/work-seeds.ts';
import { connectPeer, newIdentity, offerOf } from '../../support/control-peer.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

type Worked = Extract<PeerControlMessage, { type: 'worked' }>;

describe('a server that asks new keys for work', () => {
  let server: TestServer;
  beforeAll(async () => {
    // The first nonce solves each puzzle.
    server = await startTestServer({ config: { admissionWork: 1 } });
  });
  afterAll(() => server.stop());

  const newcomer = async (identity?: Awaited<ReturnType<typeof newIdentity>>) => {
    const peer = await connectPeer(server.url, identity);
    peer.send(offerOf());
    return peer;
  };

  it('takes it, checked in a thread, and asks nothing of the same key afterwards', async () => {
    const identity = await newIdentity();
    const peer = await newcomer(identity);
    const { epoch, seed, tries } = await peer.take('work');
    const nonces = await solveWork({ seed: fromBase64(seed), tries }, () => Promise.resolve());
    peer.send({ type: 'worked', epoch, nonces });
    await peer.take('admitted');
    await peer.close();
    const again = await newcomer(identity);
    await again.take('idle');
    expect(again.untaken.map(({ type }) => type)).not.toContain('work');
    await again.close();
  });

  it('asks each key for its own, and the same key for the same', async () => {
    const identity = await newIdentity();
    const [first, other] = [await newcomer(identity), await newcomer()];
    const { seed } = await first.take('work');
    expect((await other.take('work')).seed).not.toBe(seed);
    await first.close();
    const again = await newcomer(identity);
    expect((await again.take('work')).seed).toBe(seed);
    await Promise.all([again, other].map((peer) => peer.close()));
  });

  const right: Worked = {
    type: 'worked',
    epoch: epochOf(Date.now()),
    nonces: Array.from({ length: WORK_PUZZLES }, () => 0),
  };
  const first = right.nonces.slice(1);
  it.each([
    ['an hour that is none', { ...right, epoch: -1 }],
    ['an hour to come', { ...right, epoch: right.epoch + 2 }],
    ['a nonce too few', { ...right, nonces: first }],
    ['a nonce too many', { ...right, nonces: [...right.nonces, 0] }],
    ['a nonce too large', { ...right, nonces: [...first, 2 ** 32] }],
    ['a nonce that is no whole number', { ...right, nonces: [...first, 0.5] }],
    ['a field that nobody knows', { ...right, tries: 1 } as Worked],
  ])('ends the connection of one that shows %s', async (_title, message) => {
    const peer = await newcomer();
    await peer.take('work');
    peer.send(message);
    expect(await peer.take('error')).toMatchObject({ code: 'bad-message' });
    expect(await peer.closed()).toBe(1008);
  });
});

it('work that was not done ends the connection', async () => {
  // The first nonce solves one puzzle of 12,500.
  const server = await startTestServer({ config: { admissionWork: 100_000 } });
  try {
    const peer = await connectPeer(server.url);
    peer.send(offerOf());
    const { epoch } = await peer.take('work');
    peer.send({ type: 'worked', epoch, nonces: Array.from({ length: WORK_PUZZLES }, () => 0) });
    expect(await peer.take('error')).toMatchObject({ code: 'bad-message' });
  } finally {
    await server.stop();
  }
});
