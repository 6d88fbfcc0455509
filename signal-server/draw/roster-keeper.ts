import { toBase64 } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { RosterCommitment } from '#shared/draw/draw-form.ts';
import { rosterEntryBytes } from '#shared/draw/draw-log.ts';
import { joined } from '#shared/draw/draw-path.ts';
import { LeafMemo, RosterTree, type RosterEntry, type RosterSection } from '#shared/draw/roster-tree.ts';
import { speedClassOf } from '#shared/draw/speed-class.ts';
import { VrfKey, type VrfResult } from '#shared/draw/vrf.ts';
import { isExactClass } from '#shared/judge/numeric-class.ts';
import type { LogService } from '../log/log-service.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import type { Candidate } from '../routing/candidate.ts';
import { turnMs } from '../routing/pace.ts';
import { sharesOnePrefix } from '../routing/scheduler.ts';
import { NetworkNames } from './networks.ts';
import type { VrfProver } from './vrf-thread.ts';

/** A change is in the log no later than this, as long as the log takes entries. */
export const ROSTER_EVERY_MS = 5_000;
/** A roster that nothing changes in is committed to anew this often, so that its entry is never far back in the log. */
const RENEW_MS = 60 * 60_000;
/** How long a checkpoint that was shown may be named: a request may have waited for its turn. */
const SHOWN_MS = 2 * 60_000;
const MOST_SHOWN = 256;
/** Leaves that are kept of one roster for the next. */
const MOST_LEAVES = 20_000;

export interface RosterKeeperDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly log: Pick<LogService, 'append' | 'inclusion' | 'head'>;
  readonly models: () => readonly PlannedModel[];
  /** Everybody who holds a stage of the model. */
  readonly candidatesOf: (model: PlannedModel) => readonly Candidate[];
  readonly onError: (error: unknown) => void;
  /** Makes the proofs of a key elsewhere; left out, they are made where they are asked for. */
  readonly startProver?: (secretKey: Uint8Array<ArrayBuffer>) => VrfProver;
}

/** A roster that is in the log. */
interface Committed extends Omit<RosterCommitment, 'path'> {
  readonly tree: RosterTree;
}

/** A checkpoint that was shown to requesters, and the newest roster in it. */
export interface ShownCheckpoint {
  readonly note: string;
  /** In base64. */
  readonly root: string;
  readonly roster: RosterTree;
  readonly commitment: RosterCommitment;
  readonly shownAtMs: number;
}

/** Commits to who may be drawn, before anybody asks, and remembers which roster is in which checkpoint. */
export class RosterKeeper {
  readonly names: NetworkNames;
  readonly key: VrfKey;
  readonly #prover: VrfProver | null;
  readonly #deps: RosterKeeperDeps;
  readonly #leaves = new LeafMemo(MOST_LEAVES);
  readonly #shown = new Map<number, ShownCheckpoint>();
  #newest: Committed | null = null;
  #fingerprint = '';
  #committing: Promise<void> | null = null;
  #committedMs = -Infinity;

  constructor(deps: RosterKeeperDeps) {
    this.#deps = deps;
    this.names = new NetworkNames(deps.random);
    // Each roster names the key, so a new one for each start is committed to as early as any.
    const secretKey = deps.random(32);
    this.key = new VrfKey(secretKey);
    this.#prover = deps.startProver?.(secretKey) ?? null;
  }

  /** Commits to a roster that has changed. To be called about once a second. */
  tick(): Promise<void> {
    this.#forget();
    const sinceMs = this.#deps.clock.nowMs() - this.#committedMs;
    // A second is what the next call may be late by.
    if (sinceMs < ROSTER_EVERY_MS - 1_000) return this.#committing ?? Promise.resolve();
    this.#committing ??= this.#commit(sinceMs > RENEW_MS).finally(() => (this.#committing = null));
    return this.#committing;
  }

  /** The output for an input and its proof, made without holding others up where that can be. */
  prove(input: Uint8Array<ArrayBuffer>): Promise<VrfResult> {
    return this.#prover?.prove(input) ?? Promise.resolve(this.key.prove(input));
  }

  stop(): void {
    this.#prover?.stop();
  }

  /** The newest checkpoint that a request may name, its signed note; null while no roster is in the log. */
  async show(): Promise<string | null> {
    const { clock, log } = this.#deps;
    const { size, root, note } = log.head;
    const known = this.#shown.get(size);
    if (known !== undefined) return known.note;
    const committed = this.#newest;
    if (committed === null || committed.index >= size) return null;
    const { tree, ...commitment } = committed;
    const path = joined(await log.inclusion(commitment.index, size));
    this.#shown.set(size, {
      ...{ note, root: toBase64(root), roster: tree, commitment: { ...commitment, path } },
      shownAtMs: clock.nowMs(),
    });
    return note;
  }

  /** A checkpoint that was shown a while ago at most; undefined for any other. */
  shown(size: number, root: string): ShownCheckpoint | undefined {
    const found = this.#shown.get(size);
    const isNew = found !== undefined && this.#deps.clock.nowMs() - found.shownAtMs <= SHOWN_MS;
    return isNew && found.root === root ? found : undefined;
  }

  async #commit(isDue: boolean): Promise<void> {
    const { clock, log } = this.#deps;
    const sections = this.#sections();
    const fingerprint = JSON.stringify(sections);
    const isFirst = this.#newest === null && sections.length === 0;
    if (isFirst || (fingerprint === this.#fingerprint && !isDue)) return;
    const tree = new RosterTree(sections, this.#leaves);
    const entry = {
      sections: tree.tree.size,
      root: toBase64(tree.root),
      publicKey: toBase64(this.key.publicKey),
      atMs: Math.floor(clock.wallMs()),
    };
    const index = await log.append(rosterEntryBytes(entry));
    this.#fingerprint = fingerprint;
    this.#committedMs = clock.nowMs();
    this.#newest = { ...entry, tree, index };
  }

  #sections(): RosterSection[] {
    return this.#deps.models().flatMap((model) => {
      const candidates = this.#deps.candidatesOf(model);
      const hasOnePrefix = sharesOnePrefix(candidates);
      const ready = candidates.filter(({ isReady, isTried }) => isReady && isTried);
      const bySpan = new Map<string, Candidate[]>();
      for (const candidate of ready) {
        const key = `${candidate.span.start}-${candidate.span.end}`;
        bySpan.set(key, [...(bySpan.get(key) ?? []), candidate]);
      }
      return [...bySpan.values()].map((holders) => ({
        model: model.digest,
        range: rangeOf(holders[0]!.span, model.layers),
        entries: holders.map((holder) => this.#entryOf(holder, hasOnePrefix)),
      }));
    });
  }

  #entryOf(candidate: Candidate, hasOnePrefix: boolean): RosterEntry {
    const { id, numericClass, prefix, isNew, isSteady, isMeasured } = candidate;
    const speed = speedClassOf(turnMs({ ...candidate, running: 0 }));
    return {
      member: { id, numericClass, speed, isProven: !isNew && isMeasured, isSteady, isMeasured },
      network: this.names.digestOf(hasOnePrefix ? id : prefix),
      isExact: isMeasured && isExactClass(numericClass),
    };
  }

  #forget(): void {
    const sinceMs = this.#deps.clock.nowMs() - SHOWN_MS;
    const isOld = ({ shownAtMs }: ShownCheckpoint, left: number): boolean => shownAtMs < sinceMs || left > MOST_SHOWN;
    for (const [size, checkpoint] of this.#shown) {
      if (isOld(checkpoint, this.#shown.size)) this.#shown.delete(size);
    }
  }
}
