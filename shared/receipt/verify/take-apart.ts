import { fromBase64 } from '../../bytes.ts';
import type { Envelope } from '../../crypto/envelope.ts';
import { canonicalBase64, parseJsonBytes } from '../../crypto/strict-envelope.ts';
import { routeSchema, type Route } from '../../route/route.ts';
import { parseAttestation } from '../evidence/attest.ts';
import { receiptId, versionOf } from '../read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate, ReceiptStatement } from '../receipt.ts';
import { askWitnesses } from './check-log.ts';
import type { Holdings, ReplicaEntry, Signer, Subject, Third } from './check.ts';

/** A receipt taken apart, with all envelopes in it read and none of them verified. */
export function takeApart(file: ReceiptFile, statement: ReceiptStatement, holdings: Holdings): Subject {
  const { predicate } = statement;
  const { signers, thirds, unreadable } = readRecords(predicate);
  return {
    ...{ file, id: receiptId(file), version: versionOf(statement), statement, predicate, route: routeOf(predicate) },
    ...{ signers, thirds, unreadable, holdings, witnessed: askWitnesses(holdings) },
  };
}

/** The attestations of replicas and thirds, where they can be read. */
export function readRecords({
  stages,
  spans,
}: Pick<ReceiptPredicate, 'stages' | 'spans'>): Pick<Subject, 'signers' | 'thirds' | 'unreadable'> {
  const signers: Signer[] = [];
  const thirds: Third[] = [];
  const unreadable: Pick<ReplicaEntry, 'id'>[] = [];
  for (const [stage, { replicas }] of stages.entries()) {
    for (const replica of replicas) {
      if (replica.signed === null) continue;
      const { publicKey, attestation } = replica.signed;
      try {
        const read = parseAttestation(canonicalBase64(attestation.payload));
        signers.push({ stage, replica, publicKey: fromBase64(publicKey), attestation: read });
      } catch {
        unreadable.push(replica);
      }
    }
  }
  for (const { start, end, stages: judged } of spans) {
    for (const { stage, arbiter } of judged) {
      if (!arbiter?.signed) continue;
      const { publicKey, attestation, route: envelope } = arbiter.signed;
      try {
        const read = parseAttestation(canonicalBase64(attestation.payload));
        const route = readRoute(envelope);
        thirds.push({ stage, start, end, arbiter, publicKey: fromBase64(publicKey), attestation: read, route });
      } catch {
        unreadable.push(arbiter);
      }
    }
  }
  return { signers, thirds, unreadable };
}

/** The route of a receipt; null if its envelope holds none. Nothing is verified. */
export function routeOf({ route }: ReceiptPredicate): Route | null {
  try {
    return readRoute(route.envelope);
  } catch {
    return null;
  }
}

function readRoute({ payload }: Envelope): Route {
  return routeSchema.parse(parseJsonBytes(canonicalBase64(payload)));
}
