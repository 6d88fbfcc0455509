import type { PeerId } from '#shared/ids.ts';
import { isTold } from '../machine/storage-state.ts';
import type { HiddenFault, KeptFault, Suspension, TrustStore } from '../store/trust-store.ts';

/** More than these are refused, as every write to a disk that takes nothing is. */
const MAX_HELD = 10_000;
/** Proofs are up to half a megabyte each; a fault beyond these is kept without its own. */
const MAX_HELD_PROOFS = 32;

type Penalty =
  | { readonly type: 'convicted'; readonly fault: KeptFault; proof: string | null; readonly suspension: Suspension }
  | { readonly type: 'failed'; readonly volunteer: PeerId; readonly fault: HiddenFault };

export interface HeldPenaltiesDeps {
  readonly store: TrustStore;
  /** For the operator: a penalty that is in memory only, or that all of them are on the disk again. */
  readonly onNews: (message: string) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * A TrustStore whose penalties count at once also where the disk does not take them: they are held in memory, and written
 * in their order by `settle` once it does.
 */
export interface HeldPenalties extends TrustStore {
  /** Writes what is held. To be called now and then. */
  settle(): Promise<void>;
  /** Penalties that are in memory only. */
  readonly held: number;
}

export function holdPenalties({ store, onNews, onError }: HeldPenaltiesDeps): HeldPenalties {
  /** The oldest first. */
  const held: Penalty[] = [];
  let settling: Promise<void> | null = null;
  const convictions = (): Extract<Penalty, { type: 'convicted' }>[] => held.filter((each) => each.type === 'convicted');
  const convictionsOf = (id: PeerId) => convictions().filter(({ fault }) => fault.volunteer === id);
  const proofOf = (session: string, id: PeerId) => convictionsOf(id).find(({ fault }) => fault.session === session);

  const write = (penalty: Penalty): Promise<void> =>
    penalty.type === 'convicted'
      ? store.convict(penalty.fault, penalty.proof, penalty.suspension)
      : store.failHidden(penalty.volunteer, penalty.fault);

  async function punish(penalty: Penalty): Promise<void> {
    // Behind others it waits: a later suspension must not be overwritten by an earlier one.
    if (held.length === 0) {
      try {
        return await write(penalty);
      } catch (thrown) {
        if (!isTold(thrown)) throw thrown;
      }
    } else if (held.length >= MAX_HELD) {
      return write(penalty);
    }
    if (penalty.type === 'convicted' && convictions().filter(({ proof }) => proof !== null).length >= MAX_HELD_PROOFS)
      penalty.proof = null;
    held.push(penalty);
    onNews(newsOf(penalty));
  }

  async function settle(): Promise<void> {
    if (held.length === 0) return;
    for (let next = held[0]; next !== undefined; next = held[0]) {
      try {
        await write(next);
      } catch (thrown) {
        if (isTold(thrown)) return;
        onError(thrown);
      }
      held.shift();
    }
    onNews('what was found of volunteers while the disk took nothing is on record now');
  }

  return {
    credit: (...given) => store.credit(...given),
    prune: (beforeMs) => store.prune(beforeMs),
    convict: (fault, proof, suspension) =>
      punish({
        type: 'convicted',
        fault: { ...fault, range: { ...fault.range } },
        proof,
        suspension: { ...suspension },
      }),
    failHidden: (volunteer, fault) => punish({ type: 'failed', volunteer, fault: { ...fault } }),
    earned(id, numericClass) {
      const there = store.earned(id, numericClass);
      if (convictionsOf(id).length > 0) return { own: 0, others: 0, agreed: 0, firstWitnessedMs: null };
      const isLost = held.some((each) => each.type === 'failed' && each.volunteer === id);
      return isLost ? { ...there, own: 0, others: 0, firstWitnessedMs: null } : there;
    },
    hiddenFault(id) {
      const last = held.findLast((each) => each.type === 'failed' && each.volunteer === id);
      return last?.type === 'failed' ? { ...last.fault } : store.hiddenFault(id);
    },
    suspension(id) {
      const last = convictionsOf(id).at(-1);
      return last ? { ...last.suspension } : store.suspension(id);
    },
    suspendedAt(atMs) {
      const more = new Set<PeerId>();
      for (const { fault, suspension } of convictions()) {
        const isCounted = (store.suspension(fault.volunteer)?.untilMs ?? -Infinity) > atMs;
        if (suspension.untilMs > atMs && !isCounted) more.add(fault.volunteer);
      }
      return store.suspendedAt(atMs) + more.size;
    },
    isProven: (session, id) => proofOf(session, id) !== undefined || store.isProven(session, id),
    faults(count) {
      const unwritten = convictions().filter(({ fault }) => !store.isProven(fault.session, fault.volunteer));
      const newest = unwritten.reverse().map(({ fault }) => ({ ...fault, range: { ...fault.range } }));
      return [...newest, ...store.faults(count)].slice(0, count);
    },
    proof: async (session, id) => proofOf(session, id)?.proof ?? (await store.proof(session, id)),
    get held() {
      return held.length;
    },
    settle: () => (settling ??= settle().finally(() => (settling = null))),
  };
}

function newsOf(penalty: Penalty): string {
  const what =
    penalty.type === 'convicted'
      ? `volunteer ${penalty.fault.volunteer} is suspended until ${new Date(penalty.suspension.untilMs).toISOString()}`
      : `volunteer ${penalty.volunteer} has lost its standing`;
  return `${what}, in memory only: the disk did not take it. It is written once there is room; a restart before that forgets it.`;
}
