import { fromStrictBase64, utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { parseClaim } from '#shared/credit/claim-codec.ts';
import { agreedPositions, type ClaimOf } from '#shared/credit/judge-claims.ts';
import { digestOf, peerIdOf, type VerifySignature } from '#shared/crypto/identity.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { ModelSize } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { sameRange } from '#shared/model/stage.ts';
import type { Route } from '#shared/route/route.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { Lease, Leases } from '../placement/leases.ts';
import type { Member } from '../placement/registry.ts';
import type { Trust } from '../trust/trust.ts';

const HOUR_MS = 60 * 60_000;

export type Claims = Extract<PeerControlMessage, { type: 'claims' }>;
/** What became of a claim: `void` if it is wrong, alone, or of positions that were credited before. */
export type ClaimOutcome = 'witnessed' | 'agreed' | 'void';

export interface ClaimDeskDeps {
  readonly clock: Clock;
  readonly leases: Pick<Leases, 'get'>;
  readonly trust: Pick<Trust, 'witness' | 'agree'>;
  readonly verify: VerifySignature;
  /** The size of a model, for the limits that its replicas are held to; null for one that is gone. */
  readonly modelSize: (model: Digest) => ModelSize | null;
  /** True for the server's own anchors. */
  readonly isAnchor: (id: PeerId) => boolean;
  /** True for the keys of the server's own anchors and gateway. */
  readonly isOwn: (id: PeerId) => boolean;
  readonly onJudged: (outcome: ClaimOutcome) => void;
  /** The store did not take what is to be kept, or something of ours failed. */
  readonly onError: (error: unknown) => void;
  readonly limits: Pick<Config['limits'], 'claims' | 'claimsWaiting'>;
}

/** A claim that is the word of a replica of the stage that it is about, once its signature is found good. */
interface PlacedClaim extends ClaimOf {
  readonly replica: PeerId;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Positions of one session before which a replica has made claims, and has been credited. */
interface Progress {
  claimedTo: number;
  creditedTo: number;
}

/**
 * Judges what replicas claim credit for, by what each of them signed: a requester hands claims in, and nothing that it says
 * of a volunteer is read. A claim that is wrong credits nobody, and is held against nobody, for it may be the requester that
 * spoiled it. Claims are judged one message after the other, so that they keep the server from nothing else.
 */
export class ClaimDesk {
  readonly #deps: ClaimDeskDeps;
  readonly #progress = new WeakMap<Lease, Map<PeerId, Progress>>();
  readonly #senders = new Map<PeerId, { readonly bucket: TokenBucket; usedAtMs: number }>();
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(deps: ClaimDeskDeps) {
    this.#deps = deps;
  }

  receive({ id }: Pick<Member, 'id'>, message: Claims): void {
    const { leases, limits, onError } = this.#deps;
    const lease = leases.get(message.session);
    // A stranger's session is treated as one that does not exist, and so is one that has ended.
    if (lease?.requester !== id || lease.role !== 'answer' || !this.#mayTake(id)) return;
    const placed = this.#place(lease, message);
    if (placed.length < 2 || this.#waiting >= limits.claimsWaiting) return this.#void(placed.length);
    this.#waiting += 1;
    this.#last = this.#last
      .then(() => this.#judge(lease, placed))
      .catch(onError)
      .finally(() => (this.#waiting -= 1));
  }

  /** Forgets senders of whom nothing has been heard for an hour. To be called now and then. */
  prune(): void {
    const limitMs = this.#deps.clock.nowMs() - HOUR_MS;
    for (const [id, { usedAtMs }] of this.#senders) if (usedAtMs < limitMs) this.#senders.delete(id);
  }

  #mayTake(id: PeerId): boolean {
    const { clock, isOwn, limits } = this.#deps;
    const sender = this.#senders.get(id) ?? {
      bucket: new TokenBucket(limits.claims, () => clock.nowMs()),
      usedAtMs: 0,
    };
    sender.usedAtMs = clock.nowMs();
    this.#senders.set(id, sender);
    return isOwn(id) || sender.bucket.take(1);
  }

  /** The claims that may be what they say, the first of each replica, and of positions that it has not claimed before. */
  #place(lease: Lease, { stage, claims }: Claims): PlacedClaim[] {
    const found = new Map<PeerId, PlacedClaim>();
    for (const each of claims) {
      const placed = placeIn(lease.route, stage, each);
      if (placed === null || found.has(placed.replica)) continue;
      const progress = this.#progressOf(lease, placed.replica);
      if (placed.claim.positions <= progress.claimedTo) continue;
      progress.claimedTo = placed.claim.positions;
      found.set(placed.replica, placed);
    }
    return [...found.values()];
  }

  async #judge(lease: Lease, placed: readonly PlacedClaim[]): Promise<void> {
    const { verify, modelSize } = this.#deps;
    const areGood = await Promise.all(placed.map((each) => verify(each.publicKey, each.bytes, each.signature)));
    const size = modelSize(lease.route.model);
    // A requester can make a volunteer of its own key say what it likes.
    const good = placed.filter(({ replica }, i) => areGood[i] && replica !== lease.requester);
    this.#void(placed.length - good.length);
    if (size === null) return this.#void(good.length);
    await Promise.all(good.map((each) => this.#credit(lease, each, good, size)));
  }

  async #credit(lease: Lease, one: PlacedClaim, all: readonly PlacedClaim[], size: ModelSize): Promise<void> {
    const { isAnchor, isOwn, onJudged, trust } = this.#deps;
    const { replica, numericClass } = one;
    const others = all.filter((other) => other !== one);
    for (const outcome of ['witnessed', 'agreed'] as const) {
      // An anchor needs no other to vouch for it.
      const isWitness = (other: PlacedClaim): boolean => isAnchor(other.replica) && !isOwn(replica);
      const partners = others.filter((other) => isWitness(other) === (outcome === 'witnessed'));
      const agreed = partners.map((other) => agreedPositions(one, other, size)).filter((each) => each !== null);
      if (agreed.length === 0) continue;
      const progress = this.#progressOf(lease, replica);
      const start = Math.max(progress.creditedTo, Math.min(...agreed.map((each) => each.start)));
      const spans = chunksBefore(one.claim.positions) - chunksBefore(start);
      progress.creditedTo = one.claim.positions;
      onJudged(spans > 0 ? outcome : 'void');
      if (outcome === 'agreed') return trust.agree(replica, numericClass, spans);
      return trust.witness(replica, numericClass, spans, isOwn(lease.requester) ? 'own' : 'others');
    }
    onJudged('void');
  }

  #progressOf(lease: Lease, replica: PeerId): Progress {
    const ofLease = this.#progress.get(lease) ?? new Map<PeerId, Progress>();
    this.#progress.set(lease, ofLease);
    const progress = ofLease.get(replica) ?? { claimedTo: 0, creditedTo: 0 };
    ofLease.set(replica, progress);
    return progress;
  }

  #void(count: number): void {
    for (let i = 0; i < count; i++) this.#deps.onJudged('void');
  }
}

/** The claim, if it is about this stage of the route and the part of whose key is said to have signed it; else null. */
function placeIn(
  { session, model, capacity, stages }: Route,
  stage: number,
  { publicKey: key, claim: text, signature: seal }: Claims['claims'][number],
): PlacedClaim | null {
  const [publicKey, bytes, signature] = [key, text, seal].map(fromStrictBase64);
  const there = stages[stage];
  if (!publicKey || !bytes || !signature || there === undefined) return null;
  const replica = peerIdOf(publicKey);
  const isPrimary = there.primary.id === replica;
  const { numericClass } = [there.primary, ...there.shadows].find(({ id }) => id === replica) ?? {};
  if (numericClass === undefined) return null;
  try {
    const claim = parseClaim(bytes);
    const isRight =
      claim.session === session &&
      claim.stage === stage &&
      claim.role === (isPrimary ? 'primary' : 'shadow') &&
      claim.model === model &&
      claim.numericClass === digestOf(utf8(numericClass)) &&
      claim.positions <= capacity &&
      sameRange(claim.range, there.range);
    return isRight ? { replica, numericClass, claim, publicKey, bytes, signature } : null;
  } catch {
    return null;
  }
}

/** Chunks that begin before this position. */
function chunksBefore(position: number): number {
  return Math.ceil(position / CHUNK_POSITIONS);
}
