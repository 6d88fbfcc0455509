import { toBase64 } from '../bytes.ts';
import type { PeerId } from '../ids.ts';
import type { Hash } from '../log/merkle.ts';
import { joined } from './draw-path.ts';
import type { Look, Skip, StageDrawRecord } from './draw-form.ts';
import { POOLS, type PoolName, type RosterMember } from './roster.ts';
import type { NetworkNode, RosterTree, SectionNode } from './roster-tree.ts';
import { drawStage, MAX_LOOKS, MAX_UNSHOWN, type DrawnStage, type Seen, type StageWish } from './stage-draw.ts';

/** Why somebody cannot take part now; null who can. */
export type SkipOf = (member: RosterMember, pool: PoolName, section: SectionNode['section']) => Skip | null;

export interface MadeStage extends DrawnStage {
  readonly record: StageDrawRecord;
}

/** Why there is no draw that others could repeat. */
export type NotDrawn = 'nobody' | 'too-many-skips' | 'too-many-unshown';

/** Draws a stage from a section of a roster and records what shows it. */
export function makeStageDraw(
  roster: RosterTree,
  { index, section, pools }: SectionNode,
  wish: StageWish,
  skipOf: SkipOf,
): MadeStage | NotDrawn {
  const looks: Look[] = [];
  let unshown = 0;
  const drawn = drawStage(wish, {
    networks: (pool) => pools[pool].networks.length,
    open(pool, at, place) {
      const node = pools[pool].networks[at]!;
      const member = node.members[place(node.members.length)]!;
      if (looks.length < MAX_LOOKS + 1) looks.push(lookOf(pools[pool].tree.path(at), node, member));
      return { network: node.network, member, members: node.members.length };
    },
    isSkipped(pool, { member }) {
      const skip = looks.length > MAX_LOOKS ? null : skipOf(member, pool, section);
      if (skip === null) return false;
      if (skip.reason !== 'busy') unshown += 1;
      looks[looks.length - 1] = { ...looks.at(-1)!, skip };
      return true;
    },
  });
  if (looks.length > MAX_LOOKS) return 'too-many-skips';
  if (unshown > MAX_UNSHOWN) return 'too-many-unshown';
  if (drawn === null) return 'nobody';
  const heads = Object.fromEntries(
    POOLS.map((name) => [name, { networks: section.pools[name].networks, root: toBase64(section.pools[name].root) }]),
  ) as StageDrawRecord['pools'];
  const { members, fastest, hasExact } = section;
  return {
    ...drawn,
    record: { members, fastest, hasExact, pools: heads, index, path: joined(roster.tree.path(index)), looks },
  };
}

/** The replicas of a stage, in order. */
export function replicasOf({ primary, shadows }: DrawnStage): readonly Seen[] {
  return [primary, ...shadows];
}

/** A volunteer's own entry, for itself: where it is in a pool, and what leads to the root of the roster. */
export function entryOf(
  section: SectionNode,
  pool: PoolName,
  id: PeerId,
): { readonly index: number; readonly look: Look } | null {
  const { networks, tree } = section.pools[pool];
  for (const [index, node] of networks.entries()) {
    const member = node.members.find((one) => one.id === id);
    if (member !== undefined) return { index, look: lookOf(tree.path(index), node, member) };
  }
  return null;
}

function lookOf(path: readonly Hash[], node: NetworkNode, member: RosterMember): Look {
  const { network, members, tree } = node;
  const memberPath = joined(tree.path(members.indexOf(member)));
  const { id, numericClass, speed, isProven, isSteady, isMeasured } = member;
  const facts = { id, numericClass, speed, isProven, isSteady, isMeasured };
  return { network, members: members.length, path: joined(path), ...facts, memberPath, skip: null };
}
