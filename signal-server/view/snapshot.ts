import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import type { Leases } from '../placement/leases.ts';
import type { CatalogEntry } from '../placement/model-catalog.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member } from '../placement/registry.ts';
import { coverageOf, rangeOf } from '../placement/stage-grid.ts';
import type { KeptFault } from '../store/trust-store.ts';
import type { Standing, Trust } from '../trust/trust.ts';

export interface SnapshotParts {
  readonly serverTimeMs: number;
  readonly relayByDefault: boolean;
  readonly startedAtMs: number;
  readonly version: string;
  readonly publicUrl: string | null;
  readonly members: readonly Member[];
  readonly leases: Leases;
  readonly trust: Pick<Trust, 'standing'>;
  readonly gateOf: (member: Member) => NetworkSnapshot['volunteers'][number]['gate'];
  /** What a volunteer has behind it, as late as it was told itself; nothing where there is no reason to be late. */
  readonly shownSpans: (member: Member) => Partial<Pick<Standing, 'witnessedSpans' | 'agreedSpans'>>;
  readonly hiddenSessions: NetworkSnapshot['hiddenSessions'];
  readonly models: readonly CatalogEntry[];
  readonly reasonNotServable: (model: PlannedModel) => string | null;
  readonly sessions: NetworkSnapshot['sessions'];
  readonly history: NetworkSnapshot['history'];
  readonly checks: NetworkSnapshot['checks'];
  /** Newest first. */
  readonly faults: readonly KeptFault[];
  /** Tokens each volunteer is on record for. */
  readonly tokensOf: (member: Member) => number;
  /** Why answers get no receipts now. */
  readonly noReceipts: string | null;
}

/** The answer of `GET /api/network`. */
export function networkSnapshot(parts: SnapshotParts): NetworkSnapshot {
  const { members, models } = parts;
  const volunteers = members.filter((member) => member.volunteer !== null);
  const prefixes = new Set(volunteers.map((member) => member.prefix));
  return {
    serverTimeMs: parts.serverTimeMs,
    startedAtMs: parts.startedAtMs,
    version: parts.version,
    publicUrl: parts.publicUrl,
    models: models.map((entry) => modelState(entry, parts)),
    volunteers: volunteers.map((member) => volunteerState(member, parts)),
    checks: parts.checks,
    faults: parts.faults.map(({ volunteer, range, reason, atMs }) => ({ volunteer, range, reason, atMs })),
    sessions: parts.sessions,
    hiddenSessions: parts.hiddenSessions,
    history: parts.history,
    sharedPrefix: volunteers.length > 1 && prefixes.size === 1,
    relayByDefault: parts.relayByDefault,
    noReceipts: parts.noReceipts?.slice(0, 1000) ?? null,
  };
}

function modelState(
  { digest, manifest, planned }: CatalogEntry,
  { members, gateOf, reasonNotServable }: SnapshotParts,
): NetworkSnapshot['models'][number] {
  const spans = members.flatMap((member) => {
    const { volunteer } = member;
    const isHolder = volunteer?.state === 'ready' && volunteer.assignment?.model === digest;
    return isHolder && gateOf(member) === 'open' ? [volunteer.assignment!.span] : [];
  });
  const coverage = coverageOf(spans, planned.units);
  const reason = reasonNotServable(planned);
  return {
    digest,
    name: manifest.name,
    description: manifest.description,
    parameters: manifest.parameters,
    layers: planned.layers,
    minStages: planned.minStages,
    quantization: manifest.pins.quantization,
    coverage: { embedding: coverage[0]!, layers: coverage.slice(1, -1), head: coverage.at(-1)! },
    servable: reason === null,
    reason,
  };
}

function volunteerState(
  member: Member,
  { models, leases, trust, gateOf, shownSpans, tokensOf }: SnapshotParts,
): NetworkSnapshot['volunteers'][number] {
  const { offer, state, assignment, layerMs, isHidden, measuredClass } = member.volunteer!;
  const model = models.find((entry) => entry.digest === assignment?.model);
  return {
    id: member.id,
    kind: member.kind,
    state,
    backend: offer.backend,
    numericClass: offer.numericClass,
    webrtc: offer.webrtc,
    pledgeBytes: offer.pledgeBytes,
    model: assignment?.model ?? null,
    range: assignment && model ? rangeOf(assignment.span, model.planned.layers) : null,
    layerMs,
    sessions: leases.running(member.id),
    slots: offer.slots,
    tokens: tokensOf(member),
    joinedAtMs: member.joinedAtMs,
    hidden: isHidden,
    gate: gateOf(member),
    measuredClass,
    trust: { ...trust.standing(member.id, offer.numericClass), ...shownSpans(member) },
  };
}
