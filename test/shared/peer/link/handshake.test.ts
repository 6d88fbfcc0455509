import { describe, expect, it } from 'vitest';
import { concatBytes } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import type { PeerId } from '#shared/ids.ts';
import { HANDSHAKE_TIMEOUT_MS, PROTOCOL_VERSION } from '#shared/limits.ts';
import { shakeHands } from '#shared/peer/link/handshake.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { FakeClock, settle } from '../../../support/fake-clock.ts';
import { LoopbackChannel } from '../../../support/loopback-channel.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

const [alice, bob, mallory] = (await makeIdentities(3)) as [Identity, Identity, Identity];
const forever = new AbortController().signal;

function shake(channel: LoopbackChannel, self: Identity, peer: PeerId, clock = new FakeClock(), signal = forever) {
  return codeOfAsync(
    shakeHands(channel, peer, { identity: self, clock, random: randomBytes, verify: verifySignature }, signal),
  );
}

/** Passes pieces between two channels, changed on the way. */
function between(
  left: LoopbackChannel,
  right: LoopbackChannel,
  change = (piece: Uint8Array<ArrayBuffer>) => piece,
): void {
  left.onPiece = (piece) => right.send(change(piece));
  right.onPiece = (piece) => left.send(piece);
  left.onClose = (reason) => right.close(reason);
  right.onClose = (reason) => left.close(reason);
}

describe('the handshake', () => {
  it('succeeds where both hold the keys of their ids', async () => {
    const [a, b] = LoopbackChannel.pair();
    expect(await Promise.all([shake(a, alice, bob.id), shake(b, bob, alice.id)])).toEqual(['no error', 'no error']);
    expect([a.isClosed, b.isClosed]).toEqual([false, false]);
  });

  it('leaves no timer behind', async () => {
    const [a, b] = LoopbackChannel.pair();
    const clock = new FakeClock();
    await Promise.all([shake(a, alice, bob.id, clock), shake(b, bob, alice.id, clock)]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('refuses another key than that of the peer that was called', async () => {
    const [a, b] = LoopbackChannel.pair();
    expect(await Promise.all([shake(a, alice, bob.id), shake(b, mallory, alice.id)])).toEqual([
      'wrong-peer',
      'link-lost',
    ]);
    expect(a.isClosed).toBe(true);
  });

  it('refuses somebody who shows the right key without holding it', async () => {
    const [a, b] = LoopbackChannel.pair();
    const pretender: Identity = { ...bob, sign: (message) => mallory.sign(message) };
    expect((await Promise.all([shake(a, alice, bob.id), shake(b, pretender, alice.id)]))[0]).toBe('bad-signature');
  });

  it('refuses its own proof sent back', async () => {
    const [a, b] = LoopbackChannel.pair();
    b.onPiece = (piece) => b.send(piece);
    expect(await shake(a, alice, alice.id)).toBe('wrong-peer');
    const [c, d] = LoopbackChannel.pair();
    d.onPiece = (piece) => d.send(piece);
    expect(await shake(c, alice, bob.id)).toBe('wrong-peer');
  });

  it('refuses one in the middle who passes everything on between two connections of his own', async () => {
    const toAlice: [LoopbackChannel, LoopbackChannel] = LoopbackChannel.pair();
    const toBob = [new LoopbackChannel('webrtc', 'x'), new LoopbackChannel('webrtc', 'x')] as const;
    LoopbackChannel.join(...toBob);
    between(toAlice[1], toBob[0]);
    const codes = await Promise.all([shake(toAlice[0], alice, bob.id), shake(toBob[1], bob, alice.id)]);
    expect(codes).toContain('bad-signature');
    expect(codes).not.toContain('no error');
  });

  it.each([
    ['an older version', 'protocol-version', (piece: Uint8Array<ArrayBuffer>) => piece.with(1, PROTOCOL_VERSION - 1)],
    ['a newer version', 'protocol-version', (piece: Uint8Array<ArrayBuffer>) => piece.with(1, PROTOCOL_VERSION + 1)],
    ['a hello that is too short', 'bad-message', (piece: Uint8Array<ArrayBuffer>) => piece.slice(0, 20)],
    [
      'a hello that is too long',
      'bad-message',
      (piece: Uint8Array<ArrayBuffer>) => concatBytes(piece, Uint8Array.of(0)),
    ],
    ['something else', 'bad-message', (piece: Uint8Array<ArrayBuffer>) => piece.with(0, 9)],
    [
      'another nonce than was signed',
      'bad-signature',
      (piece: Uint8Array<ArrayBuffer>) => piece.with(40, (piece[40] as number) ^ 1),
    ],
  ])('refuses %s as %s', async (_, code, change) => {
    const [a, toA] = LoopbackChannel.pair();
    const [toB, b] = LoopbackChannel.pair();
    let isFirst = true;
    between(toB, toA, (piece) => {
      const passed = isFirst ? change(piece) : piece;
      isFirst = false;
      return passed;
    });
    const [codeAtA] = await Promise.all([shake(a, alice, bob.id), shake(b, bob, alice.id)]);
    expect(codeAtA).toBe(code);
  });

  it('does not wait for ever', async () => {
    const [a] = LoopbackChannel.pair();
    const clock = new FakeClock();
    const outcome = shake(a, alice, bob.id, clock);
    await clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect(await outcome).toBe('timeout');
    expect(a.isClosed).toBe(true);
  });

  it('stops when it is no longer wanted, before and while it waits', async () => {
    const [a] = LoopbackChannel.pair();
    expect(await shake(a, alice, bob.id, new FakeClock(), AbortSignal.abort())).toBe('cancelled');
    const [b] = LoopbackChannel.pair();
    const controller = new AbortController();
    const outcome = shake(b, alice, bob.id, new FakeClock(), controller.signal);
    await settle();
    controller.abort();
    expect(await outcome).toBe('cancelled');
    expect(b.isClosed).toBe(true);
  });

  it('does not store without bound what a stranger sends', async () => {
    const [a, b] = LoopbackChannel.pair();
    const outcome = shake(a, { ...alice, sign: () => new Promise(() => {}) }, bob.id);
    b.onPiece = () => {};
    for (let i = 0; i < 70; i++) b.send(new Uint8Array(16_384).fill(i === 0 ? 9 : 1));
    expect(['bad-message', 'too-large']).toContain(await outcome);
  });
});
