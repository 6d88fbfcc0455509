import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, equalBytes, fromHex, toHex, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { SessionId } from '../ids.ts';
import { CHUNK_POSITIONS, MAX_CHECKS, MAX_POSITIONS, MAX_STAGES, TOP_K } from '../limits.ts';
import { chunkEnd } from '../rows/chunk.ts';
import { SKETCH_BYTES } from './sketch.ts';
import type { Commit, Reveal, Span } from './statement.ts';

/*
 * The bytes that are signed, each statement in one way only. Integers are u32 little-endian.
 *
 *   offset  size                                      offset  size
 *        0    16  "chorus-commit/1" LF                     0    16  "chorus-reveal/1" LF
 *       16    16  session                                 16    16  session
 *       32    16  opening                                 32    16  opening
 *       48    20  epoch, index, start, end, stage         48    20  epoch, index, start, end, stage
 *       68    32  inputFrom                               68    32  seed
 *      100    32  inputTo                                100    32  SHA-256 of input
 *      132    32  outputFrom                             132    32  SHA-256 of output
 *      164    32  outputTo                               164
 *      196    32  shapes
 *      228
 */

const COMMIT_DOMAIN = utf8('chorus-commit/1\n');
const REVEAL_DOMAIN = utf8('chorus-reveal/1\n');
const NUMBERS_OFFSET = 48;
const FIELDS_OFFSET = 68;
const DIGEST_BYTES = 32;
export const OPENING_BYTES = 16;
/** The opening in what a requester signs. */
export const NO_OPENING: Uint8Array<ArrayBuffer> = new Uint8Array(OPENING_BYTES);
export const COMMIT_BYTES = FIELDS_OFFSET + 5 * DIGEST_BYTES;
export const REVEAL_BYTES = FIELDS_OFFSET + 3 * DIGEST_BYTES;
const MAX_INPUT_BYTES = CHUNK_POSITIONS * SKETCH_BYTES;
const MAX_OUTPUT_BYTES = CHUNK_POSITIONS * (4 + 8 * TOP_K);

/** A reveal as it is signed: with the digests of its values. */
export interface SealedReveal extends Span {
  readonly opening: Uint8Array<ArrayBuffer>;
  readonly stage: number;
  readonly seed: Uint8Array<ArrayBuffer>;
  readonly inputDigest: Uint8Array<ArrayBuffer>;
  readonly outputDigest: Uint8Array<ArrayBuffer>;
}

/** The bytes that the signature on a commit covers. */
export function commitBytes(commit: Commit): Uint8Array<ArrayBuffer> {
  const { inputFrom, inputTo, outputFrom, outputTo, shapes } = commit;
  return encode(COMMIT_DOMAIN, commit, [inputFrom, inputTo, outputFrom, outputTo, shapes]);
}

/** The bytes that the signature on a reveal covers. */
export function revealBytes(reveal: Reveal): Uint8Array<ArrayBuffer> {
  return encode(REVEAL_DOMAIN, reveal, [reveal.seed, sha256(reveal.input), sha256(reveal.output)]);
}

/** The commit in these bytes. Throws `bad-message` where a field is out of its range. */
export function parseCommit(bytes: Uint8Array<ArrayBuffer>): Commit {
  const fields = decode(COMMIT_DOMAIN, bytes, COMMIT_BYTES);
  const [inputFrom, inputTo, outputFrom, outputTo, shapes] = [0, 1, 2, 3, 4].map((i) => digestAt(bytes, i));
  return {
    ...fields,
    inputFrom: inputFrom!,
    inputTo: inputTo!,
    outputFrom: outputFrom!,
    outputTo: outputTo!,
    shapes: shapes!,
  };
}

/** The signed part of a reveal in these bytes. Throws `bad-message` where a field is out of its range. */
export function parseSealedReveal(bytes: Uint8Array<ArrayBuffer>): SealedReveal {
  const fields = decode(REVEAL_DOMAIN, bytes, REVEAL_BYTES);
  return { ...fields, seed: digestAt(bytes, 0), inputDigest: digestAt(bytes, 1), outputDigest: digestAt(bytes, 2) };
}

/**
 * The reveal in these bytes with the values it signs. Throws `bad-message` where a field is out of its range or a value
 * can be no sketch and no logits of its span, `digest-mismatch` if the values are not those that were signed.
 */
export function parseReveal(
  bytes: Uint8Array<ArrayBuffer>,
  input: Uint8Array<ArrayBuffer>,
  output: Uint8Array<ArrayBuffer>,
): Reveal {
  const { inputDigest, outputDigest, ...reveal } = parseSealedReveal(bytes);
  const count = reveal.end - reveal.start;
  if (input.length !== 0 && input.length !== count * SKETCH_BYTES)
    throw bad(`${input.length} bytes of input are not ${count} sketches`);
  if (input.length > MAX_INPUT_BYTES || output.length > MAX_OUTPUT_BYTES || output.length % 4 !== 0) {
    throw bad('values of a size that nothing has');
  }
  if (!equalBytes(sha256(input), inputDigest) || !equalBytes(sha256(output), outputDigest)) {
    throw new ChorusError('digest-mismatch', 'the revealed values are not those that were signed');
  }
  return { ...reveal, input, output };
}

function encode(
  domain: Uint8Array,
  { session, opening, epoch, index, start, end, stage }: Span & Pick<Commit, 'opening' | 'stage'>,
  fields: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const numbers = new Uint8Array(20);
  const view = new DataView(numbers.buffer);
  [epoch, index, start, end, stage].forEach((number, i) => view.setUint32(4 * i, number, true));
  const bytes = concatBytes(domain, fromHex(session), opening, numbers, ...fields);
  // The other side must be able to read these bytes: a field of a wrong size would move those after it.
  const isRight = opening.length === OPENING_BYTES && fields.every(({ length }) => length === DIGEST_BYTES);
  if (!isRight) throw bad('a field of a wrong size');
  return bytes;
}

function decode(domain: Uint8Array, bytes: Uint8Array<ArrayBuffer>, length: number) {
  if (bytes.length !== length) throw bad(`${bytes.length} bytes where ${length} belong`);
  if (!equalBytes(bytes.subarray(0, domain.length), domain)) throw bad('another kind of statement');
  const view = new DataView(bytes.buffer, bytes.byteOffset + NUMBERS_OFFSET, 20);
  const [epoch, index, start, end, stage] = [0, 4, 8, 12, 16].map((offset) => view.getUint32(offset, true));
  const fields = {
    session: toHex(bytes.subarray(16, 32)) as SessionId,
    opening: bytes.slice(32, NUMBERS_OFFSET),
    epoch: epoch!,
    index: index!,
    start: start!,
    end: end!,
    stage: stage!,
  };
  if (fields.index < 1 || fields.index > MAX_CHECKS) throw bad('no span has this number');
  if (fields.end > MAX_POSITIONS || fields.start >= fields.end || fields.end > chunkEnd(fields.start)) {
    throw bad('no span within one chunk');
  }
  if (fields.stage > MAX_STAGES) throw bad('stage out of range');
  return fields;
}

function digestAt(bytes: Uint8Array<ArrayBuffer>, index: number): Uint8Array<ArrayBuffer> {
  const offset = FIELDS_OFFSET + DIGEST_BYTES * index;
  return bytes.slice(offset, offset + DIGEST_BYTES);
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad statement: ${reason}`);
}
