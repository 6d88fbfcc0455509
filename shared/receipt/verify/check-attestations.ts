import { fromBase64 } from '../../bytes.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../../crypto/envelope.ts';
import { openStrictly } from '../../crypto/strict-envelope.ts';
import { haveEqualBits } from '../../judge/numeric-class.ts';
import { sameRange } from '../../model/stage.ts';
import { isWithinRoute, ROUTE_PAYLOAD_TYPE } from '../../route/route.ts';
import { mismatchOf, type ExpectedAttestation } from '../evidence/attest.ts';
import { contradictionOf } from '../evidence/contradiction.ts';
import { shapeOf, unpackRuns } from '../evidence/runs.ts';
import { saltedTokens } from '../evidence/salted.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import {
  count,
  demand,
  refuse,
  type CheckReceipt,
  type ReplicaEntry,
  type Signer,
  type Subject,
  type Third,
} from './check.ts';

const NOBODY = { notChecked: 'no replica signed what it did' };

/** Each replica that is said to have signed has done so. */
export const checkAttestationSignatures: CheckReceipt = async ({
  predicate,
  signers,
  thirds,
  unreadable,
  holdings,
}) => {
  for (const { id } of unreadable) refuse(`what ${id} is said to have signed is no attestation`);
  for (const { replica, publicKey } of signers) {
    const { attestation } = replica.signed!;
    await openStrictly(attestation, STATEMENT_PAYLOAD_TYPE, publicKey, holdings.verify).catch(() =>
      refuse(`the signature of ${replica.id} is not over its attestation`),
    );
  }
  for (const { arbiter, publicKey } of thirds) {
    const { attestation, route } = arbiter.signed!;
    await openStrictly(attestation, STATEMENT_PAYLOAD_TYPE, publicKey, holdings.verify).catch(() =>
      refuse(`the signature of ${arbiter.id} is not over its attestation`),
    );
    await openStrictly(route, ROUTE_PAYLOAD_TYPE, fromBase64(predicate.route.serverKey), holdings.verify).catch(() =>
      refuse(`the server did not sign the route of ${arbiter.id}`),
    );
  }
  const all = predicate.stages.reduce((sum, { replicas }) => sum + replicas.length, 0);
  return signers.length === 0 ? NOBODY : `${signers.length} of ${count(all, 'replica')} signed what they did`;
};

/** The attestations are about this session, this model and each replica's own place in it. */
export const checkAttestationMatch: CheckReceipt = ({ predicate, signers, thirds }) => {
  for (const { stage, replica, publicKey, attestation } of signers) {
    const mismatch = mismatchOf(attestation, publicKey, expectedOf(predicate, stage, replica));
    if (mismatch !== null) refuse(`the attestation of ${replica.id} does not belong here: ${mismatch}`);
  }
  for (const third of thirds) checkThird(predicate, third);
  return signers.length === 0 ? NOBODY : `each is about its own stage of ${count(predicate.positions, 'position')}`;
};

/** A third computed the stage again, up to the end of the span at least, over a route that the server gave it for that. */
function checkThird(predicate: ReceiptPredicate, { stage, end, arbiter, publicKey, attestation, route }: Third): void {
  const { id, role, numericClass } = arbiter;
  const [assigned] = route.stages;
  const { range } = predicate.stages[stage]!;
  const isRight =
    route.purpose === 'replay' &&
    route.model === predicate.model.manifest.sha256 &&
    route.requester.id === predicate.requester.id &&
    route.stages.length === 1 &&
    assigned !== undefined &&
    assigned.primary.id === id &&
    assigned.primary.numericClass === numericClass &&
    (role === 'referee' || assigned.primary.isUnproven !== true) &&
    sameRange(assigned.range, range);
  demand(isRight, `the route of ${id} is not for settling a difference at stage ${stage + 1}`);
  const { positions } = attestation.predicate;
  const expected = {
    ...expectedOf(predicate, stage, { id, role: 'primary', numericClass }),
    ...{ session: route.session, stage: 0, role: 'replay' as const, record: 1, positions },
  };
  const mismatch = mismatchOf(attestation, publicKey, expected);
  if (mismatch !== null) refuse(`the attestation of ${id} does not belong here: ${mismatch}`);
  demand(positions >= end, `${id} computed ${positions} positions, and settled a difference before ${end}`);
  const attestedMs = Date.parse(attestation.predicate.attestedAt);
  demand(isWithinRoute(route, attestedMs), `${id} signed when its route was not good`);
}

/** A third took in what its stage did, and, where no bit may differ, gave what the primary gave. */
function checkThirdChains({ signers, holdings }: Subject, third: Third): void {
  const { stage, arbiter, attestation } = third;
  const { positions, input, outputs } = attestation.predicate;
  const [source, primary] = [primaryOf(signers, stage - 1), primaryOf(signers, stage)];
  // Rows after the span were taken back where the third's draw went on, and are others in the answer.
  const given =
    positions > third.end ? undefined : source?.attestation.predicate.outputs.find(({ end }) => end === positions);
  const isFed = given === undefined || given.sha256 === input.sha256;
  demand(isFed, `${arbiter.id} took in something else than stage ${stage} gave`);
  const { tokens, salt } = holdings;
  if (stage === 0 && tokens !== undefined && salt !== undefined && positions <= third.end) {
    const isTold = saltedTokens(salt, tokens.slice(0, positions)) === input.sha256;
    demand(isTold, `${arbiter.id} was fed other tokens`);
  }
  if (primary === undefined || !haveEqualBits(primary.replica.numericClass, arbiter.numericClass, false)) return;
  for (const { end, sha256 } of outputs) {
    const own = primary.attestation.predicate.outputs.find((output) => output.end === end && end <= third.end);
    const isSame = own === undefined || own.sha256 === sha256;
    demand(isSame, `${arbiter.id} is said to have settled it for the primary, and signed other bits before ${end}`);
  }
}

/** The content that an attestation of this replica must have. */
export function expectedOf(
  predicate: ReceiptPredicate,
  stage: number,
  replica: Pick<ReplicaEntry, 'id' | 'role' | 'numericClass'>,
): ExpectedAttestation {
  const { session, model, positions, stages, record } = predicate;
  const { id, role, numericClass } = replica;
  return {
    replica: id,
    session,
    stage,
    range: stages[stage]!.range,
    role,
    record: record?.number,
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
export const checkChains: CheckReceipt = (subject) => {
  const { predicate, signers, thirds } = subject;
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
  for (const third of thirds) checkThirdChains(subject, third);
  return `${count(links, 'handover')} between stages, and the outputs of primaries and shadows, are as signed`;
};

function primaryOf(signers: readonly Signer[], stage: number): Signer | undefined {
  return signers.find((signer) => signer.stage === stage && signer.replica.role === 'primary');
}
