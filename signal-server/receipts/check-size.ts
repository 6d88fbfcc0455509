import { canonicalBase64 } from '#shared/crypto/strict-envelope.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseAttestation } from '#shared/receipt/evidence/attest.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';

const KIB = 1024;

/**
 * The most that an honest receipt may take, as base64: reroutes and notes, a signed record for each replica, and for each
 * of its positions a finding of its own. Most take a tenth.
 */
const ROOM = { bytes: 128 * KIB, perReplica: 16 * KIB, perReplicaAndPosition: 2 * KIB };
/** Room for fields beyond the known form, of a newer version perhaps: this often as much, and a little. */
const UNKNOWN = { times: 1, bytes: 4 * KIB };

/**
 * Throws `bad-message` for a receipt that takes more room than its positions and stages can need, or that holds, in its
 * statement or an attestation, mostly what their forms do not know.
 */
export function checkSize({ envelope }: ReceiptFile, statement: ReceiptStatement): void {
  const { stages, positions } = statement.predicate;
  const replicas = stages.flatMap((stage) => stage.replicas);
  const room = ROOM.bytes + replicas.length * (ROOM.perReplica + positions * ROOM.perReplicaAndPosition);
  if (envelope.payload.length > room) {
    throw refused(
      `${replicas.length} replicas and ${positions} positions do not fill ${envelope.payload.length} bytes`,
    );
  }
  demandKnown(canonicalBase64(envelope.payload), statement);
  for (const { signed } of replicas) {
    if (signed === null) continue;
    const payload = canonicalBase64(signed.attestation.payload);
    demandKnown(payload, parseAttestation(payload));
  }
}

function demandKnown(payload: Uint8Array<ArrayBuffer>, known: unknown): void {
  const knownBytes = Buffer.byteLength(JSON.stringify(known));
  if (payload.length > (1 + UNKNOWN.times) * knownBytes + UNKNOWN.bytes) {
    throw refused(`of ${payload.length} bytes ${knownBytes} say what a receipt says`);
  }
}

function refused(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
