import { STATEMENT_PAYLOAD_TYPE } from '../../crypto/envelope.ts';
import { openStrictly } from '../../crypto/strict-envelope.ts';
import { mismatchOf, type ExpectedAttestation } from '../evidence/attest.ts';
import { contradictionOf } from '../evidence/contradiction.ts';
import { shapeOf, unpackRuns } from '../evidence/runs.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import { count, demand, refuse, type CheckReceipt, type ReplicaEntry, type Signer } from './check.ts';

const NOBODY = { notChecked: 'no replica signed what it did' };

/** Each replica that is said to have signed has done so. */
export const checkAttestationSignatures: CheckReceipt = async ({ predicate, signers, unreadable, holdings }) => {
  for (const { id } of unreadable) refuse(`what ${id} is said to have signed is no attestation`);
  for (const { replica, publicKey } of signers) {
    const { attestation } = replica.signed!;
    await openStrictly(attestation, STATEMENT_PAYLOAD_TYPE, publicKey, holdings.verify).catch(() =>
      refuse(`the signature of ${replica.id} is not over its attestation`),
    );
  }
  const all = predicate.stages.reduce((sum, { replicas }) => sum + replicas.length, 0);
  return signers.length === 0 ? NOBODY : `${signers.length} of ${count(all, 'replica')} signed what they did`;
};

/** The attestations are about this session, this model and each replica's own place in it. */
export const checkAttestationMatch: CheckReceipt = ({ predicate, signers }) => {
  for (const { stage, replica, publicKey, attestation } of signers) {
    const mismatch = mismatchOf(attestation, publicKey, expectedOf(predicate, stage, replica));
    if (mismatch !== null) refuse(`the attestation of ${replica.id} does not belong here: ${mismatch}`);
  }
  return signers.length === 0 ? NOBODY : `each is about its own stage of ${count(predicate.positions, 'position')}`;
};

/** The content that an attestation of this replica must have. */
export function expectedOf(
  predicate: ReceiptPredicate,
  stage: number,
  replica: Pick<ReplicaEntry, 'id' | 'role' | 'numericClass'>,
): ExpectedAttestation {
  const { session, model, positions, stages } = predicate;
  const { id, role, numericClass } = replica;
  return {
    replica: id,
    session,
    stage,
    range: stages[stage]!.range,
    role,
    model: model.manifest.sha256 as ExpectedAttestation['model'],
    numericClass,
    positions,
    runtime: model.runtime,
  };
}

/**
 * Each stage took in what the stage before gave, shadows like primaries; replicas that are said to have given the same
 * bits did, and two that must match did not differ. A replica that signed nothing has no links to check.
 */
export const checkChains: CheckReceipt = ({ predicate, signers }) => {
  if (signers.length === 0) return NOBODY;
  const shape = shapeOf(unpackRuns(predicate.runs, predicate.positions));
  let links = 0;
  for (const { stage, replica, attestation } of signers) {
    const { input, runs } = attestation.predicate;
    const source = stage === 0 ? null : primaryOf(signers, stage - 1);
    if (source !== undefined && source !== null) {
      const output = source.attestation.predicate.outputs.at(-1)!.sha256;
      demand(input.sha256 === output, `${replica.id} took in something else than stage ${stage} gave`);
      links += 1;
    }
    const primary = primaryOf(signers, stage);
    const isSame = primary === undefined || input.sha256 === primary.attestation.predicate.input.sha256;
    demand(isSame, `${replica.id} was given something else than the primary of stage ${stage + 1}`);
    const ran = replica.role === 'shadow' || runs.sha256 === shape;
    demand(ran, `${replica.id} ran in other runs than the receipt has`);
    if (replica.role === 'primary' || primary === undefined) continue;
    const judged = { spans: predicate.spans, id: replica.id };
    const contradiction = contradictionOf(primary.attestation.predicate, attestation.predicate, judged);
    if (contradiction !== null) refuse(`${replica.id} contradicts the receipt: ${contradiction}`);
  }
  return `${count(links, 'handover')} between stages, and the outputs of primaries and shadows, are as signed`;
};

function primaryOf(signers: readonly Signer[], stage: number): Signer | undefined {
  return signers.find((signer) => signer.stage === stage && signer.replica.role === 'primary');
}
