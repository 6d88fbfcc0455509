import { equalBytes, toBase64 } from '../../bytes.ts';
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
import { CALIBRATION } from '../../judge/thresholds.ts';
import { isWithinRoute } from '../../route/route.ts';
import { mismatchOf, openAttestation } from '../evidence/attest.ts';
import type { AttestationPredicate } from '../evidence/attestation.ts';
import { contradictionOf } from '../evidence/contradiction.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { shapeOf } from '../evidence/runs.ts';
import { saltedTokens } from '../evidence/salted.ts';
import type { ReceiptPredicate, WrittenStatement } from '../receipt.ts';
import { assignedTo } from '../verify/check-route.ts';
import { tierBorneOut, type TierGrounds } from '../verify/derive-tier.ts';
import { readRecords } from '../verify/take-apart.ts';

type Stage = ReceiptPredicate['stages'][number];
type Replica = Stage['replicas'][number];
type SpanStage = WrittenStatement['predicate']['spans'][number]['stages'][number];
type Third = NonNullable<StageCheck['arbiter']>;
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
  const { route, positions, runs, record } = evidence;
  const found = evidence.attestations.find((each) => each.replica === replica);
  if (found === undefined) return null;
  const { publicKey, envelope } = found;
  try {
    const attestation = await openAttestation(envelope, publicKey, verify);
    const { range } = route.stages[stage]!;
    const { session } = route;
    const expected = { ...model, session, stage, range, role, record, numericClass, positions, replica };
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

/** The verdicts, of which each tier is what those who signed bear out. */
export function judgedSpans(
  spans: readonly SpanCheck[],
  { stages, model }: Pick<ReceiptPredicate, 'stages' | 'model'>,
  salt: Uint8Array,
): { readonly spans: WrittenStatement['predicate']['spans']; readonly tier: Tier; readonly counts: CheckCounts } {
  const told = spans.map(({ start, end, tier, stages: checks }) => ({
    start,
    end,
    tier,
    stages: checks.map((check) => toldStage(check, salt)),
  }));
  const grounds = {
    ...readRecords({ stages, spans: told }),
    predicate: { stages, model, thresholds: { sha256: CALIBRATION.sha256 } },
    holdings: { calibrations: [CALIBRATION] },
  };
  const judged = told.map(({ start, end, stages: checks }) => {
    const judgedStages = checks.map((check) => borneOut(grounds, { start, end }, check));
    return { start, end, tier: lowestTier(judgedStages.map(({ tier }) => tier)), stages: judgedStages };
  });
  const tiers = judged.map(({ tier }) => tier);
  return { spans: judged, tier: lowestTier(tiers), counts: countTiers(tiers) };
}

function toldStage({ stage, tier, findings, arbiter, reason, drawnBy }: StageCheck, salt: Uint8Array): SpanStage {
  return {
    stage,
    tier,
    findings: findings.map(findingOf),
    arbiter: arbiter && toldThird(arbiter, salt),
    reason,
    drawnBy,
  };
}

/** What a third signed under the salt of another record of its session says nothing to the readers of this one. */
function toldThird({ id, role, numericClass, signed }: Third, salt: Uint8Array): SpanStage['arbiter'] {
  if (!signed || !equalBytes(signed.salt, salt)) return { id, role, numericClass, signed: null };
  const { publicKey, attestation, route } = signed;
  return { id, role, numericClass, signed: { publicKey: toBase64(publicKey), attestation, route } };
}

/** The verdict as it is borne out, and no better than it was found: a token may be anything for what came before it. */
function borneOut(grounds: TierGrounds, span: Pick<SpanCheck, 'start' | 'end'>, told: SpanStage): SpanStage {
  const { tier, reason } = tierBorneOut(grounds, span, told);
  const isLower = told.tier === 'unchecked' && told.reason !== null && reason === null;
  return isLower ? told : { ...told, tier, reason };
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
