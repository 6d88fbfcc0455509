import { describe, expect, it } from 'vitest';
import type { DamagedBlob } from '#shared/blobs/blob-store.ts';
import { pieceRange } from '#shared/blobs/piece.ts';
import { damagedBlobs, readBlobs, type StoredBlobs } from '#shared/blobs/read-blobs.ts';
import { ChorusError } from '#shared/errors.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import { makeBlob } from '../../contract/blob-store-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const large = makeBlob(6 * BLOB_PIECE_BYTES + 9);
const small = makeBlob(500);
const refs = [large.ref, small.ref];

/** `large` as a Blob of which one piece reads as `read` does. */
function spoilt(piece: number, read: () => Promise<ArrayBuffer>): Blob {
  const blob = new Blob([large.bytes]);
  const { start: spoiltStart } = pieceRange(large.ref, piece);
  const slice = (start: number, end: number): Blob =>
    start === spoiltStart ? ({ arrayBuffer: read } as Blob) : blob.slice(start, end);
  return { slice } as Blob;
}

const storing = (first: Blob | Uint8Array<ArrayBuffer>): StoredBlobs =>
  new Map([
    [large.ref.digest, first],
    [small.ref.digest, new Blob([small.bytes])],
  ]);

async function findDamage(stored: StoredBlobs, clock = new FakeClock()): Promise<readonly DamagedBlob[]> {
  const thrown = await readBlobs(refs, stored, clock).then(
    () => 'nothing was thrown',
    (error: unknown) => error,
  );
  expect(thrown).toMatchObject({ code: 'digest-mismatch' });
  return damagedBlobs(thrown);
}

describe('reading what was stored', () => {
  it('gives the bytes, and leaves no timer behind', async () => {
    const clock = new FakeClock();
    const read = await readBlobs(refs, storing(new Blob([large.bytes])), clock);
    for (const { ref, bytes } of [large, small]) {
      expect(Buffer.compare(read.get(ref.digest) as Uint8Array, bytes)).toBe(0);
    }
    expect(clock.pendingTimers).toBe(0);
  });

  const flipped = (piece: number): Blob => {
    const bytes = large.bytes.slice();
    bytes[pieceRange(large.ref, piece).start]! ^= 0x80;
    return new Blob([bytes]);
  };
  it.each<[string, Blob, number[]]>([
    ['a bit that changed', flipped(3), [3]],
    ['a file that is too short', new Blob([large.bytes.subarray(0, 2 * BLOB_PIECE_BYTES + 1)]), [2, 3, 4, 5, 6]],
    ['a file that is gone', spoilt(1, () => Promise.reject(new DOMException('gone', 'NotReadableError'))), [1]],
  ])('finds %s', async (_, blob, pieces) => {
    expect(await findDamage(storing(blob))).toEqual([{ digest: large.ref.digest, pieces }]);
  });

  it('takes everything for damaged after a read that does not end, and waits for no other', async () => {
    const clock = new FakeClock();
    const finding = findDamage(storing(spoilt(0, () => new Promise(() => undefined))), clock);
    await expect.poll(() => clock.pendingTimers).toBe(1);
    await clock.advance(10_000);
    expect(await finding).toEqual(refs.map(({ digest, pieces }) => ({ digest, pieces: [...pieces.keys()] })));
    expect(clock.pendingTimers).toBe(0);
  });

  it('names a blob that was not handed over', async () => {
    expect(await codeOfAsync(readBlobs(refs, new Map(), new FakeClock()))).toBe('bad-message');
  });

  it('finds no damage in another failure', () => {
    expect(damagedBlobs(new ChorusError('digest-mismatch', 'a manifest'))).toEqual([]);
    expect(damagedBlobs(new Error('other'))).toEqual([]);
  });
});
