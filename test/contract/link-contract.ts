import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import type { SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { openLink } from '#shared/peer/link/framed-link.ts';
import type { Link } from '#shared/peer/link/link.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { codeOfAsync } from '../support/code-of.ts';
import { realClock } from '../support/real-clock.ts';
import type { ChannelPair } from './channel-contract.ts';

const session = 'ab'.repeat(16) as SessionId;
const forever = new AbortController().signal;

/** The promises of every Link, handshake included, over a real or an in-memory channel. */
export function describeLink(name: string, openPair: (a: Identity, b: Identity) => Promise<ChannelPair>): void {
  describe(`a link over ${name}`, () => {
    let a: Identity;
    let b: Identity;
    let pair: ChannelPair;
    beforeEach(async () => {
      [a, b] = [await identityOf(await generateKeyPair()), await identityOf(await generateKeyPair())];
      pair = await openPair(a, b);
    });
    afterEach(async () => {
      pair.a.close('the test is over');
      pair.b.close('the test is over');
      await pair.release();
    });

    const depsOf = (identity: Identity) => ({
      identity,
      clock: realClock,
      random: randomBytes,
      verify: verifySignature,
    });
    const openBoth = (): Promise<[Link, Link]> =>
      Promise.all([openLink(pair.a, b.id, depsOf(a), forever), openLink(pair.b, a.id, depsOf(b), forever)]);

    it('knows who is at the other end', async () => {
      const [atA, atB] = await openBoth();
      expect([atA.peer, atB.peer]).toEqual([b.id, a.id]);
      expect(atA.transport).toBe(pair.a.transport);
    });

    it('delivers small and large messages in order, without waiting between them', async () => {
      const [atA, atB] = await openBoth();
      const messages: PeerMessage[] = [{ type: 'ready', session }];
      for (let chunk = 0; chunk < 6; chunk++) {
        // Rows of 64 KiB: two MiB a chunk, twice the window.
        const bytes = new Uint8Array(CHUNK_POSITIONS * 65_536).fill(chunk);
        const rows = { kind: 'hidden' as const, start: chunk * CHUNK_POSITIONS, count: CHUNK_POSITIONS, bytes };
        messages.push(
          rowsMessage({ session, stage: 1, epoch: 0, sequence: chunk, chunk, logitsFrom: 0, rows, hops: [] }),
        );
        messages.push({ type: 'cut', session, epoch: chunk + 1, position: 0 });
      }
      const received = takeMessages(atB, messages.length);
      await Promise.all(messages.map((message) => atA.send(message)));
      expect(summary(await received)).toEqual(summary(messages));
      expect(atA.traffic.sentBytes).toBeGreaterThan(12 * 1024 * 1024);
      expect(atB.traffic.receivedBytes).toBeGreaterThan(12 * 1024 * 1024);
    });

    it('keeps what came before anybody listened', async () => {
      const [atA, atB] = await openBoth();
      await atA.send({ type: 'ready', session });
      await atA.send({ type: 'close', session, reason: 'done' });
      const answered = takeMessages(atA, 1);
      await atB.send({ type: 'ready', session });
      await answered;
      expect((await takeMessages(atB, 2)).map(({ type }) => type)).toEqual(['ready', 'close']);
    });

    it('measures the round trip', async () => {
      const [atA, atB] = await openBoth();
      // The first pings left before these messages, so their answers are here when the second comes back.
      const atBReceived = takeMessages(atB, 1);
      await atA.send({ type: 'ready', session });
      await atBReceived;
      const atAReceived = takeMessages(atA, 1);
      await atB.send({ type: 'ready', session });
      await atAReceived;
      expect(atA.roundTripMs).toBeGreaterThanOrEqual(0);
      expect(atA.roundTripMs).toBeLessThan(5000);
    });

    it('closes at both ends and rejects what cannot be sent any more', async () => {
      const [atA, atB] = await openBoth();
      const closed = new Promise((resolve) => atB.onClose(resolve));
      atA.close('enough');
      await closed;
      expect([atA.isClosed, atB.isClosed]).toEqual([true, true]);
      expect(await codeOfAsync(atA.send({ type: 'ready', session }))).toBe('link-lost');
      expect(await codeOfAsync(atB.send({ type: 'ready', session }))).toBe('link-lost');
    });

    it('does not come to be with a stranger', async () => {
      const stranger = await identityOf(await generateKeyPair());
      const outcomes = await Promise.all([
        codeOfAsync(openLink(pair.a, b.id, depsOf(a), forever)),
        codeOfAsync(openLink(pair.b, a.id, depsOf(stranger), forever)),
      ]);
      expect(outcomes).toEqual(['wrong-peer', 'link-lost']);
    });
  });
}

function takeMessages(link: Link, count: number): Promise<PeerMessage[]> {
  const messages: PeerMessage[] = [];
  return new Promise((resolve) => {
    const stop = link.onMessage((message) => {
      if (messages.push(message) < count) return;
      stop();
      resolve(messages);
    });
  });
}

/** Comparing megabytes element by element would take longer than sending them. */
function summary(messages: readonly PeerMessage[]): unknown[] {
  return messages.map((message) =>
    message.type === 'rows' ? [message.sequence, message.rows.bytes.length, message.digest] : message,
  );
}
