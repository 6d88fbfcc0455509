import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_OPEN_MESSAGES, MAX_PEER_MESSAGE_BYTES, MAX_PIECE_BYTES } from '#shared/limits.ts';
import { FRAME_HEADER_BYTES, Reassembler, splitMessage } from '#shared/wire/codec/frame.ts';
import { codeOf } from '../../../support/code-of.ts';

const payloadBytes = MAX_PIECE_BYTES - FRAME_HEADER_BYTES;

function patterned(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, i) => i * 31 + (i >> 8) + seed);
}

function changed(piece: Uint8Array<ArrayBuffer>, change: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  const copy = piece.slice();
  change(new DataView(copy.buffer));
  return copy;
}

describe('frames', () => {
  it.each([1, 100, payloadBytes - 1, payloadBytes, payloadBytes + 1, 10 * payloadBytes, MAX_PEER_MESSAGE_BYTES])(
    'carry a message of %i bytes in pieces within the limit',
    (length) => {
      const message = patterned(length);
      const pieces = [...splitMessage(1, message)];
      expect(pieces.length).toBe(Math.ceil(length / payloadBytes));
      expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(MAX_PIECE_BYTES);
      const reassembler = new Reassembler();
      const results = pieces.map((piece) => reassembler.add(piece));
      expect(results.slice(0, -1).every((result) => result === null)).toBe(true);
      expect(Buffer.compare(results.at(-1) as Uint8Array, message)).toBe(0);
    },
  );

  it('let a small message pass between the pieces of a large one', () => {
    const large = patterned(3 * payloadBytes);
    const [first, second, third] = [...splitMessage(1, large)] as [
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
    ];
    const [ping] = [...splitMessage(2, Uint8Array.of(7, 1, 2, 3, 4))] as [Uint8Array<ArrayBuffer>];
    const reassembler = new Reassembler();
    expect(reassembler.add(first)).toBeNull();
    expect(reassembler.add(ping)).toEqual(Uint8Array.of(7, 1, 2, 3, 4));
    expect(reassembler.add(second)).toBeNull();
    expect(reassembler.add(third)).toEqual(large);
  });

  it('put messages together however their pieces are interleaved', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3 * payloadBytes }), { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        (lengths, picks) => {
          const messages = lengths.map((length, i) => patterned(length, i));
          const queues = messages.map((message, i) => [...splitMessage(i, message)]);
          const reassembler = new Reassembler();
          const received: Uint8Array[] = [];
          for (
            let open = queues.filter((queue) => queue.length);
            open.length;
            open = queues.filter((queue) => queue.length)
          ) {
            const queue = open[(picks.next().value as number) % open.length] as Uint8Array<ArrayBuffer>[];
            const whole = reassembler.add(queue.shift() as Uint8Array<ArrayBuffer>);
            if (whole) received.push(whole);
          }
          expect(received.length).toBe(messages.length);
          for (const message of messages)
            expect(received.some((other) => Buffer.compare(other, message) === 0)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('are not made of too large a message, nor of none', () => {
    expect(codeOf(() => [...splitMessage(1, new Uint8Array(MAX_PEER_MESSAGE_BYTES + 1))])).toBe('too-large');
    expect(codeOf(() => [...splitMessage(1, new Uint8Array(0))])).toBe('bad-message');
  });
});

describe('hostile frames', () => {
  const [first, second] = [...splitMessage(5, patterned(2 * payloadBytes))] as [
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>,
  ];
  const hostile: [string, string, Uint8Array<ArrayBuffer>[]][] = [
    ['a piece without content', 'bad-message', [first.slice(0, FRAME_HEADER_BYTES)]],
    ['a piece above the limit', 'too-large', [new Uint8Array(MAX_PIECE_BYTES + 1)]],
    ['another version', 'protocol-version', [changed(first, (view) => view.setUint8(0, 2))]],
    ['unknown flags', 'bad-message', [changed(first, (view) => view.setUint8(1, 1))]],
    ['reserved bytes in use', 'bad-message', [changed(first, (view) => view.setUint16(2, 1))]],
    [
      'a message above the limit',
      'too-large',
      [changed(first, (view) => view.setUint32(8, MAX_PEER_MESSAGE_BYTES + 1, true))],
    ],
    ['a piece beyond its message', 'bad-message', [changed(first, (view) => view.setUint32(8, 100, true))]],
    ['a message that begins in its middle', 'bad-message', [second]],
    ['a piece sent twice', 'bad-message', [first, first]],
    [
      'a gap',
      'bad-message',
      [first, changed(second, (view) => view.setUint32(12, payloadBytes + 1, true)).slice(0, -1)],
    ],
    [
      'a size that changes',
      'bad-message',
      [first, changed(second, (view) => view.setUint32(8, 3 * payloadBytes, true))],
    ],
  ];
  it.each(hostile)('are refused: %s is %s', (_, code, pieces) => {
    const reassembler = new Reassembler();
    for (const piece of pieces.slice(0, -1)) reassembler.add(piece);
    expect(codeOf(() => reassembler.add(pieces.at(-1) as Uint8Array<ArrayBuffer>))).toBe(code);
  });

  it('cannot hold more unfinished messages open than the limit', () => {
    const reassembler = new Reassembler();
    const begin = (number: number): unknown =>
      reassembler.add(changed(first, (view) => view.setUint32(4, number, true)));
    for (let number = 0; number < MAX_OPEN_MESSAGES; number++) expect(begin(number)).toBeNull();
    expect(codeOf(() => begin(MAX_OPEN_MESSAGES))).toBe('too-large');
  });

  it('cannot make the receiver reserve more than two of the largest messages', () => {
    const reassembler = new Reassembler();
    const claim = (number: number): unknown =>
      reassembler.add(
        changed(first, (view) => {
          view.setUint32(4, number, true);
          view.setUint32(8, MAX_PEER_MESSAGE_BYTES, true);
        }),
      );
    claim(1);
    claim(2);
    expect(codeOf(() => claim(3))).toBe('too-large');
  });

  it('take no more than twice the memory that came, whatever size they name', () => {
    const reassembler = new Reassembler();
    const [piece] = [...splitMessage(1, patterned(MAX_PEER_MESSAGE_BYTES))] as [Uint8Array<ArrayBuffer>];
    reassembler.add(piece.slice(0, FRAME_HEADER_BYTES + 50));
    expect(reassembler.heldBytes).toBeLessThanOrEqual(100);
  });

  it('give a message or one of three errors for any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (pieces) => {
        const reassembler = new Reassembler();
        for (const piece of pieces) {
          const code = codeOf(() => reassembler.add(Uint8Array.of(1, 0, 0, 0, ...piece)));
          expect(['no error', 'bad-message', 'too-large', 'protocol-version']).toContain(code);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
