import type { PeerId } from '../ids.ts';
import { MAX_SHADOWS } from '../limits.ts';
import type { StageRange } from '../model/stage.ts';
import { SeededNumbers } from './order.ts';
import type { PoolName, RosterMember } from './roster.ts';

/** A primary that has not proven itself gets two shadows where there are that many. */
export const SHADOWS_OF_UNPROVEN = 2;
/** How often one replica of a stage is to be an anchor or a key that has been trusted for long, if one is free. */
export const STEADY_SHARE = 1 / 4;
/** How often a primary that has proven itself gets a shadow more than it should, so that no primary knows how many watch it. */
export const SURPLUS_SHARE = 1 / 8;
/** Volunteers that one stage's draw may look at: more skips than this leave are the server's own choice. */
export const MAX_LOOKS = 24;
/** Of these, skips in one stage for which there is nobody's word but that of the server or of the requester. */
export const MAX_UNSHOWN = 2;

/** A volunteer that a draw came upon. */
export interface Seen {
  readonly network: string;
  readonly member: RosterMember;
}

/**
 * What a stage's draw reads. The server has the roster and knows who is there; a verifier has the looks that the draw's record shows,
 * in order. Both run the same draw.
 */
export interface StageReader {
  /** Networks of a pool. */
  networks(pool: PoolName): number;
  /** Opens network `index` of a pool, at the member that `place` chooses for the number of its members. */
  open(pool: PoolName, index: number, place: (members: number) => number): Seen & { readonly members: number };
  /** Whether the one opened last is skipped, for a reason that is not a rule of the draw. */
  isSkipped(pool: PoolName, seen: Seen): boolean;
}

export interface StageWish {
  /** Output of the VRF. */
  readonly output: Uint8Array;
  readonly stage: number;
  readonly range: StageRange;
  readonly requester: PeerId;
  /** Shadows asked for. */
  readonly shadows: number;
  /** Networks of the primaries of earlier stages. */
  readonly networks: ReadonlySet<string>;
}

export interface DrawnStage {
  readonly primary: Seen;
  readonly shadows: readonly Seen[];
}

/** The replicas of one stage; null where nobody may be its primary. It follows from the seed and what `reader` shows. */
export function drawStage(wish: StageWish, reader: StageReader): DrawnStage | null {
  const { stage, range, shadows } = wish;
  const seed = (use: string): SeededNumbers =>
    new SeededNumbers(wish.output, `chorus-draw-order/1 ${stage} ${range.start} ${range.end} ${use}`);
  const chances = seed('chances');
  const wantsSteady = chances.uniform() < STEADY_SHARE;
  const isSurplus = chances.uniform() < SURPLUS_SHARE;
  const skipped = new Set<PeerId>([wish.requester]);
  const walks = new Map<PoolName, Walk>();
  const chosen: Seen[] = [];

  /** The next of a pool that `fits`, by those that were passed by before and then by the others. */
  function take(pool: PoolName, fits: (seen: Seen) => boolean): Seen | null {
    const walk = walks.get(pool) ?? { seen: looks(pool, seed, reader), passed: [] };
    walks.set(pool, walk);
    const isOut = ({ member }: Seen): boolean =>
      skipped.has(member.id) || chosen.some((one) => one.member.id === member.id);
    const at = walk.passed.findIndex((seen) => !isOut(seen) && fits(seen));
    if (at !== -1) return walk.passed.splice(at, 1)[0]!;
    for (let next = walk.seen.next(); !next.done; next = walk.seen.next()) {
      const seen = next.value;
      if (isOut(seen)) continue;
      if (reader.isSkipped(pool, seen)) skipped.add(seen.member.id);
      else if (fits(seen)) return seen;
      else walk.passed.push(seen);
    }
    return null;
  }

  /** A proven shadow counts for more than another network, and that for more than a steady or a fast one. */
  function takeShadow({ lacksProven, lacksSteady, isMore }: Record<'lacksProven' | 'lacksSteady' | 'isMore', boolean>) {
    const networks = new Set(chosen.map(({ network }) => network));
    const isOfOther = ({ network }: Seen): boolean => !networks.has(network);
    const slow = isMore ? [] : (['slow'] as const);
    for (const isAny of lacksProven ? [false, true] : [true]) {
      const pools: readonly PoolName[] = isAny
        ? [...(lacksSteady ? (['steady'] as const) : []), 'shadow', ...slow]
        : ['proven', ...slow];
      for (const isSame of [false, true]) {
        for (const pool of pools) {
          const found = take(pool, (seen) => (isSame || isOfOther(seen)) && (isAny || seen.member.isProven));
          if (found !== null) return found;
        }
      }
    }
    return null;
  }

  const primary = take('lead', ({ network }) => !wish.networks.has(network)) ?? take('lead', () => true);
  if (primary === null) return null;
  chosen.push(primary);
  const { isProven } = primary.member;
  const wanted = shadows === 0 ? 0 : isProven ? shadows + (isSurplus ? 1 : 0) : Math.max(SHADOWS_OF_UNPROVEN, shadows);
  while (chosen.length <= Math.min(MAX_SHADOWS, wanted)) {
    const lacksProven = !chosen.some(({ member }) => member.isProven);
    const lacksSteady = wantsSteady && !chosen.some(({ member }) => member.isSteady);
    // One more than there should be is no reason to take who is slow.
    const isMore = chosen.length > wanted - (isProven && isSurplus ? 1 : 0);
    const next = takeShadow({ lacksProven, lacksSteady, isMore });
    if (next === null) break;
    chosen.push(next);
  }
  return { primary, shadows: chosen.slice(1) };
}

interface Walk {
  readonly seen: Generator<Seen, void, undefined>;
  /** Those that did not fit when it was their turn: of a network that was taken, or slow and not proven. */
  readonly passed: Seen[];
}

/** A pool's members in the order of the draw: one of each network, then a second of those that have one, and so on. */
function* looks(
  pool: PoolName,
  seed: (use: string) => SeededNumbers,
  reader: StageReader,
): Generator<Seen, void, undefined> {
  const networks: { readonly index: number; readonly members: number; readonly order: Iterator<number, void> }[] = [];
  for (const index of seed(pool).shuffled(reader.networks(pool))) {
    let order: Iterator<number, void> | null = null;
    const place = (members: number): number => {
      order = seed(`${pool} ${index}`).shuffled(members);
      return order.next().value!;
    };
    const seen = reader.open(pool, index, place);
    networks.push({ index, members: seen.members, order: order! });
    yield seen;
  }
  for (let round = 1; networks.some(({ members }) => members > round); round++) {
    for (const { index, members, order } of networks) {
      if (members > round) yield reader.open(pool, index, () => order.next().value!);
    }
  }
}
