import { concatBytes, equalBytes, fromHex, toHex, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { Digest, SessionId } from '../ids.ts';
import { SKETCH_BYTES } from '../judge/sketch.ts';
import { MAX_POSITIONS, MAX_STAGES } from '../limits.ts';
import { stageRangeSchema } from '../model/stage.ts';
import { CLAIM_DOMAIN, MAX_CLAIM_ROWS, type Claim } from './claim.ts';

/*
 * The bytes of a claim, which are those that its signature covers. Integers are little-endian.
 *
 *   offset  size
 *        0    16  "chorus-credit/1" LF
 *       16    16  session
 *       32     1  stage
 *       33     1  role: 0 primary, 1 shadow, 2 replay
 *       34     1  1 if the range has the embedding, plus 2 if it has the head
 *       35     1  positions that are sketched
 *       36     4  first layer, layer after the last (2 each)
 *       40     8  from, positions (4 each)
 *       48    32  model
 *       80    32  SHA-256 of the numeric class
 *      112    96  salted input, output and runs
 *      208    32  SHA-256 of the seed
 *      240        sketches, 64 each
 */

const DOMAIN = utf8(CLAIM_DOMAIN);
const ROLES = ['primary', 'shadow', 'replay'] as const;
const NUMBERS_OFFSET = 32;
const DIGESTS_OFFSET = 48;
const DIGESTS = ['model', 'numericClass', 'input', 'output', 'runs', 'seed'] as const;
const DIGEST_BYTES = 32;
const SKETCH_OFFSET = DIGESTS_OFFSET + DIGESTS.length * DIGEST_BYTES;
export const MAX_CLAIM_BYTES = SKETCH_OFFSET + MAX_CLAIM_ROWS * SKETCH_BYTES;

/** The bytes to be signed. Throws `bad-message` for a claim that `parseClaim` would refuse. */
export function encodeClaim(claim: Claim): Uint8Array<ArrayBuffer> {
  const { session, stage, range, role, from, positions, sketch } = claim;
  const numbers = new Uint8Array(DIGESTS_OFFSET - NUMBERS_OFFSET);
  const view = new DataView(numbers.buffer);
  const flags = (range.embedding ? 1 : 0) + (range.head ? 2 : 0);
  numbers.set([stage, ROLES.indexOf(role), flags, sketch.length / SKETCH_BYTES]);
  view.setUint16(4, range.start, true);
  view.setUint16(6, range.end, true);
  view.setUint32(8, from, true);
  view.setUint32(12, positions, true);
  const digests = DIGESTS.map((field) => fromHex(claim[field]));
  const bytes = concatBytes(DOMAIN, fromHex(session), numbers, ...digests, sketch);
  parseClaim(bytes);
  return bytes;
}

/** The claim in these bytes, without a look at its signature. Throws `bad-message` where a field is out of its range. */
export function parseClaim(bytes: Uint8Array<ArrayBuffer>): Claim {
  if (bytes.length < SKETCH_OFFSET || !equalBytes(bytes.subarray(0, DOMAIN.length), DOMAIN)) throw bad('no claim');
  const view = new DataView(bytes.buffer, bytes.byteOffset + NUMBERS_OFFSET, DIGESTS_OFFSET - NUMBERS_OFFSET);
  const [stage, roleCode, flags, rows] = [0, 1, 2, 3].map((offset) => view.getUint8(offset)) as [
    number,
    number,
    number,
    number,
  ];
  const role = ROLES[roleCode];
  const range = stageRangeSchema.safeParse({
    start: view.getUint16(4, true),
    end: view.getUint16(6, true),
    embedding: (flags & 1) === 1,
    head: (flags & 2) === 2,
  });
  const [from, positions] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (stage >= MAX_STAGES || role === undefined || flags > 3 || !range.success) throw bad('no part in a session');
  if (from > positions || positions < 1 || positions > MAX_POSITIONS) throw bad('positions out of range');
  if (rows > MAX_CLAIM_ROWS || rows > positions - from || bytes.length !== SKETCH_OFFSET + rows * SKETCH_BYTES) {
    throw bad('sketches of a wrong number');
  }
  const digests = DIGESTS.map((field, i) => {
    const offset = DIGESTS_OFFSET + i * DIGEST_BYTES;
    return [field, toHex(bytes.subarray(offset, offset + DIGEST_BYTES))] as const;
  });
  const { model, numericClass, ...salted } = Object.fromEntries(digests) as Record<(typeof DIGESTS)[number], string>;
  return {
    session: toHex(bytes.subarray(16, NUMBERS_OFFSET)) as SessionId,
    ...{ stage, range: range.data, role, from, positions },
    ...{ model: model as Digest, numericClass: numericClass as Digest },
    ...salted,
    sketch: bytes.slice(SKETCH_OFFSET),
  };
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad claim: ${reason}`);
}
