import { toHex, utf8 } from '../../bytes.ts';
import { type Envelope, STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE } from '../../crypto/envelope.ts';
import { peerIdOf, type VerifySignature } from '../../crypto/identity.ts';
import { openStrictly, parseJsonBytes } from '../../crypto/strict-envelope.ts';
import { ChorusError } from '../../errors.ts';
import type { Digest, PeerId, SessionId } from '../../ids.ts';
import { engineModuleOf, isModuleOf } from '../../judge/numeric-class.ts';
import { CHUNK_POSITIONS } from '../../limits.ts';
import type { StageRange } from '../../model/stage.ts';
import { ATTESTATION_TYPE, timeOf } from '../statement-form.ts';
import {
  anyAttestationSchema,
  type Attestation,
  type AttestationPredicate,
  type WrittenAttestation,
} from './attestation.ts';
import { salted } from './salted.ts';

/** A replica's knowledge of its part in a session, when it is asked for its record. */
export interface StageRun {
  readonly session: SessionId;
  readonly stage: number;
  readonly range: StageRange;
  readonly role: AttestationPredicate['role'];
  /** The number of this record in its session. */
  readonly record: number;
  /** Digest of the manifest. */
  readonly model: Digest;
  readonly numericClass: string;
  readonly runtime: AttestationPredicate['runtime'];
  /** Positions [0, positions) are spoken for; all of them must have been computed. */
  readonly positions: number;
  /** Chains of 32 bytes before position `end`, bare. */
  readonly inputAt: (end: number) => Uint8Array<ArrayBuffer>;
  readonly outputAt: (end: number) => Uint8Array<ArrayBuffer>;
  readonly runsAt: (end: number) => Uint8Array<ArrayBuffer>;
}

/** The ends of the chunks of [0, positions), the last of which may be short. */
export function attestedEnds(positions: number): number[] {
  const count = Math.ceil(positions / CHUNK_POSITIONS);
  return Array.from({ length: count }, (_, chunk) => Math.min((chunk + 1) * CHUNK_POSITIONS, positions));
}

/**
 * The payload for a replica to sign, as `signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, payload)`: UTF-8 JSON of an
 * in-toto Statement. The salt is the requester's.
 */
export function attestationStatement(
  { session, stage, range, role, record, model, numericClass, runtime, positions, inputAt, outputAt, runsAt }: StageRun,
  salt: Uint8Array<ArrayBuffer>,
  attestedAtMs: number,
): Uint8Array<ArrayBuffer> {
  const outputs = attestedEnds(positions).map((end) => ({ end, sha256: salted(salt, outputAt(end)) }));
  const engine = engineModuleOf(numericClass);
  const statement: WrittenAttestation = {
    _type: STATEMENT_TYPE,
    subject: [{ name: outputName(stage), digest: { sha256: outputs.at(-1)!.sha256 } }],
    predicateType: ATTESTATION_TYPE,
    predicate: {
      session,
      stage,
      range,
      role,
      record,
      model,
      numericClass,
      engine: engine === null ? null : { sha256: engine },
      runtime,
      positions,
      input: { sha256: salted(salt, inputAt(positions)) },
      outputs,
      runs: { sha256: toHex(runsAt(positions)) },
      attestedAt: timeOf(attestedAtMs),
    },
  };
  return utf8(JSON.stringify(statement));
}

/** The content that the attestation of a certain replica in a certain answer must have. */
export type ExpectedAttestation = Pick<
  StageRun,
  'session' | 'stage' | 'range' | 'role' | 'model' | 'numericClass' | 'positions'
> & {
  readonly replica: PeerId;
  readonly runtime: AttestationPredicate['runtime'];
  /** Its number in its session; absent where version 1 is expected, which has none. */
  readonly record?: number | undefined;
};

/** The first thing in which an attestation is not the one expected, in words for people; null if there is none. */
export function mismatchOf(
  { subject, predicate }: Attestation,
  publicKey: Uint8Array,
  expected: ExpectedAttestation,
): string | null {
  const { range, runtime } = expected;
  if (peerIdOf(publicKey) !== expected.replica) return 'it is signed with another key';
  for (const field of ['session', 'stage', 'role', 'record', 'model', 'numericClass', 'positions'] as const) {
    if (predicate[field] !== expected[field]) return `its ${field} is ${predicate[field]}, not ${expected[field]}`;
  }
  const { engine } = predicate;
  if (engine !== undefined && !isModuleOf(predicate.numericClass, engine?.sha256 ?? null)) {
    return `its engine is not that of the class ${predicate.numericClass}`;
  }
  const isRange = (['start', 'end', 'embedding', 'head'] as const).every((key) => predicate.range[key] === range[key]);
  if (!isRange) return 'it is about another range of layers';
  if (predicate.runtime.name !== runtime.name || predicate.runtime.version !== runtime.version) {
    return `it ran on ${predicate.runtime.name} ${predicate.runtime.version}`;
  }
  const ends = attestedEnds(expected.positions);
  const isWhole = ends.length === predicate.outputs.length && ends.every((end, i) => predicate.outputs[i]!.end === end);
  if (!isWhole) return 'its outputs are not given for each chunk';
  const isSubject = subject[0]?.digest.sha256 === predicate.outputs.at(-1)!.sha256;
  if (!isSubject || subject[0]?.name !== outputName(expected.stage)) return 'its subject is not its output';
  return null;
}

/** Reads an attestation without a look at its signature. Throws `bad-message`. */
export function parseAttestation(payload: Uint8Array<ArrayBuffer>): Attestation {
  const parsed = anyAttestationSchema.safeParse(parseJsonBytes(payload));
  if (parsed.success) return parsed.data;
  throw new ChorusError('bad-message', 'what a replica signed is no attestation');
}

/** The attestation in an envelope, if `publicKey` signed it. Throws `bad-message` or `bad-signature`. */
export async function openAttestation(
  envelope: Envelope,
  publicKey: Uint8Array<ArrayBuffer>,
  verify: VerifySignature,
): Promise<Attestation> {
  return parseAttestation(await openStrictly(envelope, STATEMENT_PAYLOAD_TYPE, publicKey, verify));
}

function outputName(stage: number): string {
  return `stage ${stage} output`;
}
