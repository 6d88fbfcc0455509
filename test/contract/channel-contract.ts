import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LINK_WINDOW_BYTES, MAX_PIECE_BYTES } from '#shared/limits.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import { codeOf } from '../support/code-of.ts';

export interface ChannelPair {
  readonly a: Channel;
  readonly b: Channel;
  /** Gives back what the pair needed, after the channels are closed. */
  release(): Promise<void>;
}

/** The promises of every Channel. */
export function describeChannel(name: string, openPair: () => Promise<ChannelPair>): void {
  describe(`a channel over ${name}`, () => {
    let pair: ChannelPair;
    beforeEach(async () => {
      pair = await openPair();
    });
    afterEach(async () => {
      pair.a.close('the test is over');
      pair.b.close('the test is over');
      await pair.release();
    });

    it('delivers pieces whole, once and in order', async () => {
      const sizes = [1, 2, 1000, MAX_PIECE_BYTES, 3, MAX_PIECE_BYTES, 16];
      const pieces = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
      const received = take(pair.b, pieces.length);
      for (const piece of pieces) pair.a.send(piece);
      for (const [i, piece] of (await received).entries()) {
        expect(piece.length).toBe(sizes[i]);
        expect(piece.every((byte) => byte === i + 1)).toBe(true);
      }
    });

    it('carries both directions at once', async () => {
      const atA = take(pair.a, 50);
      const atB = take(pair.b, 50);
      for (let i = 0; i < 50; i++) {
        pair.a.send(Uint8Array.of(i, 1));
        pair.b.send(Uint8Array.of(i, 2));
      }
      expect((await atA).map((piece) => [...piece])).toEqual(Array.from({ length: 50 }, (_, i) => [i, 2]));
      expect((await atB).map((piece) => [...piece])).toEqual(Array.from({ length: 50 }, (_, i) => [i, 1]));
    });

    it('tells a sender that fills the window when it may go on, until all has arrived', async () => {
      const totalBytes = 4 * LINK_WINDOW_BYTES;
      let receivedBytes = 0;
      const finished = new Promise<void>((resolve) => {
        pair.b.onPiece = (piece) => {
          receivedBytes += piece.length;
          if (receivedBytes === totalBytes) resolve();
        };
      });
      const piece = new Uint8Array(MAX_PIECE_BYTES);
      let highestBytes = 0;
      for (let sentBytes = 0; sentBytes < totalBytes; sentBytes += piece.length) {
        while (pair.a.bufferedBytes >= LINK_WINDOW_BYTES) await drained(pair.a);
        pair.a.send(piece);
        highestBytes = Math.max(highestBytes, pair.a.bufferedBytes);
      }
      await finished;
      expect(highestBytes).toBeLessThanOrEqual(LINK_WINDOW_BYTES + 2 * MAX_PIECE_BYTES);
    });

    it('tells both ends once when one of them closes, and takes nothing after that', async () => {
      const reasons: string[] = [];
      const bothClosed = new Promise<void>((resolve) => {
        for (const end of [pair.a, pair.b]) {
          end.onClose = (reason) => {
            if (reasons.push(reason) === 2) resolve();
          };
        }
      });
      pair.a.close('enough');
      pair.a.close('enough again');
      await bothClosed;
      pair.b.close('me too');
      expect(codeOf(() => pair.a.send(Uint8Array.of(1)))).toBe('link-lost');
      expect(codeOf(() => pair.b.send(Uint8Array.of(1)))).toBe('link-lost');
      expect(reasons.length).toBe(2);
    });

    it('gives both ends the same binding', () => {
      expect(pair.a.transport).toBe(pair.b.transport);
      expect(pair.a.binding).toBe(pair.b.binding);
      expect(pair.a.binding === '').toBe(pair.a.transport === 'relay');
    });
  });
}

function take(channel: Channel, count: number): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  return new Promise((resolve) => {
    channel.onPiece = (piece) => {
      if (pieces.push(piece.slice()) === count) resolve(pieces);
    };
  });
}

function drained(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.onDrain = resolve;
  });
}
