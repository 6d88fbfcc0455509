import { equalBytes, utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignedAt } from '#shared/log/cosignature.ts';
import {
  formatSignature,
  isSignedBy,
  parseNote,
  parseSignature,
  signaturesBy,
  type NoteSignature,
} from '#shared/log/signed-note.ts';
import { formatAddCheckpoint } from '#shared/log/witness.ts';
import { request, type HttpAnswer } from '../machine/http-answer.ts';
import type { WitnessAddress } from '../machine/witness-address.ts';
import type { SignedHead, TransparencyLog } from './transparency-log.ts';

const MAX_ANSWER_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 5_000;

export type WatchedLog = Pick<TransparencyLog, 'key' | 'head' | 'consistency' | 'rootAt'>;

/** The cosignature of a witness on a head. */
export interface Cosigned {
  readonly head: SignedHead;
  readonly signature: NoteSignature;
  /** By the clock of the witness. */
  readonly timeSeconds: number;
}

/**
 * Asks one witness to cosign `head`, beginning with `oldSize`, and once more with the size it names if it knows another.
 * Rejects with `wrong-peer` and both notes if it holds a head of this log that this log does not have, and with a
 * ChorusError for every other answer than its cosignature.
 */
export async function askWitness(
  { key, url }: WitnessAddress,
  log: WatchedLog,
  head: SignedHead,
  oldSize: number,
  signal: AbortSignal,
): Promise<Cosigned> {
  const limits = { maxBytes: MAX_ANSWER_BYTES, timeoutMs: REQUEST_TIMEOUT_MS, signal };
  const ask = async (from: number): Promise<HttpAnswer> => {
    const body = formatAddCheckpoint(from, await log.consistency(from, head.size), head.note);
    const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
    return request(new URL('add-checkpoint', url), { method: 'POST', body, headers }, limits);
  };
  let answer = await ask(oldSize);
  const known = sizeIn(answer);
  if (known !== null && known <= head.size) answer = await ask(known);
  else if (known !== null) await accuse(known);
  // With 409 and no size, as tlog-witness 1.0.0 has it, it has cosigned another tree of this size.
  if (answer.status === 422 || (answer.status === 409 && sizeIn(answer) === null)) await accuse(null);
  if (answer.status !== 200) throw new ChorusError('server-lost', `it answered ${answer.status}: ${reasonIn(answer)}`);

  const lines = decode(answer).split('\n').slice(0, -1);
  const { text } = parseNote(head.note);
  // Lines of other witnesses are left out: their keys are not known here.
  const [signature] = signaturesBy({ text, signatures: lines.map(parseSignature) }, key);
  if (signature === undefined) throw new ChorusError('bad-signature', 'it answered without its cosignature');
  const timeSeconds = await cosignedAt({ text, signatures: [signature] }, key, verifySignature);
  return { head, signature, timeSeconds: timeSeconds! };

  /** The witness says that it knows another log than this. It is believed only if it shows what this log has signed. */
  async function accuse(size: number | null): Promise<never> {
    const shown = await request(new URL(`${digestOf(utf8(head.origin))}/checkpoint`, url), {}, limits);
    const text = shown.status === 200 ? decode(shown) : '';
    if (text !== '' && (await isForeign(text, log))) {
      throw new ChorusError('wrong-peer', 'it shows a checkpoint, signed by this log, that this log does not have', {
        shown: text,
        own: head.note,
      });
    }
    const said =
      size === null ? 'that this log does not extend what it has cosigned' : `it has cosigned ${size} entries`;
    throw new ChorusError('server-lost', `it says ${said}, and does not show it`);
  }
}

/** Whether a note is signed by this log's key and is of a tree that this log does not begin with. */
export async function isForeign(note: string, log: WatchedLog): Promise<boolean> {
  const parsed = parseNote(note);
  const { origin, size, root } = parseCheckpoint(parsed.text);
  if (origin !== log.key.name || !(await isSignedBy(parsed, log.key, verifySignature))) return false;
  return size > log.head.size || !equalBytes(await log.rootAt(size), root);
}

/** The note of a head with cosignatures. */
export function withCosignatures(head: SignedHead, cosigned: readonly Cosigned[]): string {
  return head.note + cosigned.map(({ signature }) => formatSignature(signature)).join('');
}

function sizeIn(answer: HttpAnswer): number | null {
  if (answer.status !== 409 || answer.contentType !== 'text/x.tlog.size') return null;
  const size = /^(0|[1-9]\d{0,15})\n$/.exec(decode(answer))?.[1];
  return size === undefined || !Number.isSafeInteger(Number(size)) ? null : Number(size);
}

/** The first words of an answer, for the operator. */
function reasonIn(answer: HttpAnswer): string {
  return (
    decode(answer)
      .replace(/[^\x20-\x7e]+/g, ' ')
      .trim()
      .slice(0, 200) || 'no reason given'
  );
}

function decode({ body }: HttpAnswer): string {
  return new TextDecoder().decode(body);
}
