import { toBase64 } from '../../bytes.ts';
import type { VerifySignature } from '../../crypto/identity.ts';
import type { Digest, PeerId } from '../../ids.ts';
import {
  lowestTier,
  countTiers,
  type CheckCounts,
  type Finding,
  type SpanCheck,
  type StageCheck,
  type Tier,
} from '../../judge/finding.ts';
import { isWithinRoute } from '../../route/route.ts';
import { mismatchOf, openAttestation } from '../evidence/attest.ts';
import type { AttestationPredicate } from '../evidence/attestation.ts';
import { contradictionOf } from '../evidence/contradiction.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { shapeOf } from '../evidence/runs.ts';
import { saltedTokens } from '../evidence/salted.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import { assignedTo } from '../verify/check-route.ts';

type Stage = ReceiptPredicate['stages'][number];
type Replica = Stage['replicas'][number];
type SpanStage = ReceiptPredicate['spans'][number]['stages'][number];
interface Model {
  readonly model: Digest;
  readonly runtime: AttestationPredicate['runtime'];
}

/** The hashes that the neighbours of a replica signed; null where they signed nothing. */
interface Neighbours {
  /** Of the stage before, or of the tokens. */
  readonly input: string | null;
  readonly primary: AttestationPredicate | null;
}

/** The stages of the route, with what their replicas signed where it fits the session and what the others signed. */
export async function signedStages(evidence: Evidence, model: Model, verify: VerifySignature): Promise<Stage[]> {
  const stages: Stage[] = [];
  let input: string | null = saltedTokens(evidence.salt, evidence.tokens.slice(0, evidence.positions));
  for (const [stage, assigned] of evidence.route.stages.entries()) {
    const replicas: Replica[] = [];
    let primary: AttestationPredicate | null = null;
    for (const replica of assignedTo(assigned)) {
      const attested = await attestationOf(evidence, model, stage, replica, { input, primary }, verify);
      if (replica.role === 'primary') primary = attested?.predicate ?? null;
      replicas.push({ ...replica, signed: attested?.signed ?? null });
    }
    stages.push({ range: assigned.range, replicas });
    input = primary?.outputs.at(-1)!.sha256 ?? null;
  }
  return stages;
}

/** The attestation of this replica; null unless it is about this very work and contradicts neither itself nor others. */
async function attestationOf(
  evidence: Evidence,
  model: Model,
  stage: number,
  { id: replica, role, numericClass }: Pick<Replica, 'id' | 'role' | 'numericClass'>,
  neighbours: Neighbours,
  verify: VerifySignature,
): Promise<{ readonly predicate: AttestationPredicate; readonly signed: Replica['signed'] } | null> {
  const { route, positions, runs } = evidence;
  const found = evidence.attestations.find((each) => each.replica === replica);
  if (found === undefined) return null;
  const { publicKey, envelope } = found;
  try {
    const attestation = await openAttestation(envelope, publicKey, verify);
    const { range } = route.stages[stage]!;
    const { session } = route;
    const expected = { ...model, session, stage, range, role, numericClass, positions, replica };
    const { predicate } = attestation;
    const fits =
      mismatchOf(attestation, publicKey, expected) === null &&
      isWithinRoute(route, Date.parse(predicate.attestedAt)) &&
      (neighbours.input === null || predicate.input.sha256 === neighbours.input) &&
      (role === 'primary'
        ? predicate.runs.sha256 === shapeOf(runs)
        : agreesWith(predicate, neighbours.primary, evidence, replica));
    return fits ? { predicate, signed: { publicKey: toBase64(publicKey), attestation: envelope } } : null;
  } catch {
    return null;
  }
}

/** True unless a shadow signed another input than its primary, or outputs that are not what was found of it. */
function agreesWith(
  shadow: AttestationPredicate,
  primary: AttestationPredicate | null,
  { spans }: Evidence,
  id: PeerId,
): boolean {
  if (primary === null) return true;
  return shadow.input.sha256 === primary.input.sha256 && contradictionOf(primary, shadow, { spans, id }) === null;
}

/** The verdicts: `checked` only where two keys signed that they ran the stage, `settled` only where its primary did. */
export function judgedSpans(
  spans: readonly SpanCheck[],
  stages: readonly Stage[],
): { readonly spans: ReceiptPredicate['spans']; readonly tier: Tier; readonly counts: CheckCounts } {
  const judged = spans.map(({ start, end, stages: checks }) => {
    const judgedStages = checks.map((check) => judgedStage(check, stages[check.stage]!));
    return { start, end, tier: lowestTier(judgedStages.map(({ tier }) => tier)), stages: judgedStages };
  });
  const tiers = judged.map(({ tier }) => tier);
  return { spans: judged, tier: lowestTier(tiers), counts: countTiers(tiers) };
}

function judgedStage(check: StageCheck, { replicas }: Stage): SpanStage {
  const { stage, tier, findings, arbiter, primary, reason, drawnBy } = check;
  const hasSigned = (id: string) => replicas.some((replica) => replica.id === id && replica.signed !== null);
  const isAgreed = findings.some(({ shadow }) => hasSigned(shadow));
  const isBorneOut = hasSigned(primary) && (tier === 'settled' || isAgreed);
  const isLowered = (tier === 'checked' || tier === 'settled') && !isBorneOut;
  return {
    stage,
    tier: isLowered ? 'unchecked' : tier,
    findings: findings.map(findingOf),
    arbiter: arbiter === null ? null : { ...arbiter },
    reason: isLowered ? 'not-signed' : reason,
    drawnBy,
  };
}

function findingOf({ shadow, outcome, isExact, closeness, threshold, draws }: Finding): SpanStage['findings'][number] {
  const { pair, kind, isMeasured, accept, reject, tokenGap } = threshold;
  return {
    shadow,
    outcome,
    isExact,
    closeness: { ...closeness },
    limits: { pair, kind, isMeasured, accept: { ...accept }, reject: { ...reject }, tokenGap },
    draws: draws && { ...draws },
  };
}
