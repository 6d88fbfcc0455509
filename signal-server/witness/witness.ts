import { utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignature, cosignedBytes } from '#shared/log/cosignature.ts';
import {
  COSIGNATURE,
  formatNote,
  formatSignature,
  parseNote,
  signaturesBy,
  type NoteKey,
} from '#shared/log/signed-note.ts';
import {
  EMPTY_HEAD,
  parseAddCheckpoint,
  refusalOfGrowth,
  refusalOfSender,
  type AddCheckpoint,
  type WitnessedHead,
  type WitnessRefusal,
} from '#shared/log/witness.ts';
import type { WitnessStore } from '../store/witness-store.ts';

export interface Witness {
  readonly key: NoteKey;
  /** Cosigns a checkpoint that extends the last one, and answers the signature line once that is on the disk. */
  addCheckpoint(body: string): Promise<{ readonly status: 200; readonly cosignature: string } | WitnessRefusal>;
  /** The newest checkpoint cosigned of the log whose origin has this digest; null if there is none. */
  newest(originDigest: Digest): string | null;
}

/** A witness of the logs in `store`. */
export function createWitness(name: string, identity: Identity, store: WitnessStore, clock: Clock): Witness {
  const key: NoteKey = { name, type: COSIGNATURE, publicKey: identity.publicKey };
  const { logs } = store;
  const keysOf = (origin: string): NoteKey[] => logs.filter((log) => log.name === origin);

  async function cosign(request: AddCheckpoint): Promise<{ status: 200; cosignature: string } | WitnessRefusal> {
    const { note, checkpoint } = request;
    const timeSeconds = Math.floor(clock.wallMs() / 1000);
    const signature = cosignature(key, timeSeconds, await identity.sign(cosignedBytes(note.text, timeSeconds)));
    const logs = keysOf(checkpoint.origin).flatMap((log) => signaturesBy(note, log));
    const cosigned = formatNote({ text: note.text, signatures: [...logs, signature] });
    for (;;) {
      const known = store.note(checkpoint.origin);
      const refusal = refusalOfGrowth(headOf(known), request);
      if (refusal !== null) return refusal;
      // The signature leaves this function only if nothing else was cosigned in between, and once that is on the disk.
      const isNext = await store.advance(checkpoint.origin, known, cosigned);
      if (isNext) return { status: 200, cosignature: formatSignature(signature) };
    }
  }

  return {
    key,
    async addCheckpoint(body) {
      let request: AddCheckpoint;
      try {
        request = parseAddCheckpoint(body);
      } catch (thrown) {
        return { status: 400, reason: toChorusError(thrown).message };
      }
      return (await refusalOfSender(request, keysOf, verifySignature)) ?? cosign(request);
    },
    newest(originDigest) {
      const log = logs.find(({ name: origin }) => digestOf(utf8(origin)) === originDigest);
      return log === undefined ? null : store.note(log.name);
    },
  };
}

/** Of the newest checkpoint; null before the first. */
function headOf(note: string | null): WitnessedHead {
  return note === null ? EMPTY_HEAD : parseCheckpoint(parseNote(note).text);
}
