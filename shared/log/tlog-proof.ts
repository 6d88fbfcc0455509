import { fromStrictBase64, toBase64 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { MAX_PROOF_HASHES, type Hash } from './merkle.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_CHARACTERS = 128 * 1024;

/** A `.tlog-proof` file, which shows offline that an entry is in a log (C2SP tlog-proof). */
export interface TlogProof {
  /** Not authenticated by the proof; null without. */
  readonly extra: Uint8Array<ArrayBuffer> | null;
  readonly index: number;
  /** From the leaf's sibling upwards. */
  readonly hashes: readonly Hash[];
  /** The signed note, with cosignatures. */
  readonly checkpoint: string;
}

export function formatTlogProof({ extra, index, hashes, checkpoint }: TlogProof): string {
  const lines = [HEADER, ...(extra ? [`extra ${toBase64(extra)}`] : []), `index ${index}`, ...hashes.map(toBase64)];
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** Throws `too-large`, or `bad-message` for anything that `formatTlogProof` would not write. */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAX_CHARACTERS) throw new ChorusError('too-large', 'the proof is longer than 128 KiB');
  const split = text.indexOf('\n\n');
  const lines = text.slice(0, Math.max(0, split)).split('\n');
  if (lines.shift() !== HEADER) throw bad('it does not begin with its name');
  const extra = lines[0]?.startsWith('extra ') ? base64(lines.shift()!.slice(6)) : null;
  const index = /^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '')?.[1];
  if (index === undefined || !Number.isSafeInteger(Number(index))) throw bad('it has no index');
  if (lines.length > MAX_PROOF_HASHES) throw bad(`${lines.length} hashes; the largest tree needs ${MAX_PROOF_HASHES}`);
  const hashes = lines.map(base64);
  if (hashes.some((hash) => hash.length !== 32)) throw bad('a hash that is not 32 bytes long');
  return { extra, index: Number(index), hashes, checkpoint: text.slice(split + 2) };
}

function base64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = fromStrictBase64(text);
  if (bytes === null || text === '') throw bad('not base64');
  return bytes;
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad log proof: ${reason}`);
}
