import { sha256 } from '@noble/hashes/sha2.js';
import { toBase64, utf8 } from '../bytes.ts';
import type { Digest, PeerId } from '../ids.ts';
import { leafHash, type Hash } from '../log/merkle.ts';
import type { StageRange } from '../model/stage.ts';
import { FAST_FACTOR, keepsUp, SHADOW_FACTOR } from './speed-class.ts';

/**
 * A roster says, before anybody asks, who may be drawn: for each range of each model the volunteers that hold it, in pools for the
 * parts that a draw gives, by network. Its root is in the log.
 */

/**
 * `lead`: may be primary. `shadow`: keeps up as a shadow. `proven` and `steady`: those among the shadows that are. `slow`: all others,
 * who check a stage where it would have nobody else.
 */
export const POOLS = ['lead', 'shadow', 'proven', 'steady', 'slow'] as const;
export type PoolName = (typeof POOLS)[number];

/** A volunteer as the roster has it. */
export interface RosterMember {
  readonly id: PeerId;
  readonly numericClass: string;
  /** Its time for one token with nothing else to do (speed-class.ts). */
  readonly speed: number;
  /** A trusted key of a measured class. */
  readonly isProven: boolean;
  /** An anchor of the server, or a key that has been trusted for long. */
  readonly isSteady: boolean;
  readonly isMeasured: boolean;
}

/** The members of one network in a pool. */
export interface NetworkHead {
  /** Digest that stands for an address prefix (`networkDigest`), 16 bytes in base64. */
  readonly network: string;
  readonly members: number;
}

export interface PoolHead {
  readonly networks: number;
  /** Root of the tree whose leaves are the networks. */
  readonly root: Hash;
}

/** The holders of one range of a model. */
export interface Section {
  readonly model: Digest;
  readonly range: StageRange;
  /** How many may be drawn here. */
  readonly members: number;
  /** Speed class of the quickest that may be primary. */
  readonly fastest: number;
  /** True where a member is of an exact class: only those of measured classes are primaries then. */
  readonly hasExact: boolean;
  readonly pools: Readonly<Record<PoolName, PoolHead>>;
}

/** The leaf of a volunteer. */
export function memberLeaf({ id, numericClass, speed, isProven, isSteady, isMeasured }: RosterMember): Hash {
  const marks = `${isProven ? 'p' : '-'}${isSteady ? 's' : '-'}${isMeasured ? 'm' : '-'}`;
  return leafOf(['chorus-roster-member/1', id, numericClass, speed, marks]);
}

/** The leaf of a network; `root` is that of its members. */
export function networkLeaf({ network, members }: NetworkHead, root: Hash): Hash {
  return leafOf(['chorus-roster-network/1', network, members, toBase64(root)]);
}

export function sectionLeaf({ model, range, members, fastest, hasExact, pools }: Section): Hash {
  const { start, end, embedding, head } = range;
  const layers = `${start} ${end} ${embedding ? 'embedding' : '-'} ${head ? 'head' : '-'}`;
  const lines = POOLS.map((name) => `${name} ${pools[name].networks} ${toBase64(pools[name].root)}`);
  return leafOf(['chorus-roster-section/1', model, layers, members, fastest, hasExact ? 'exact' : '-', ...lines]);
}

/** Whether somebody may be in a pool, by what the roster says of it. */
export function fitsPool(
  pool: PoolName,
  { speed, isProven, isSteady, isMeasured }: RosterMember,
  { fastest, hasExact }: Pick<Section, 'fastest' | 'hasExact'>,
): boolean {
  if (pool === 'lead') return keepsUp(speed, fastest, FAST_FACTOR) && (isMeasured || !hasExact);
  const isKept = keepsUp(speed, fastest, SHADOW_FACTOR);
  switch (pool) {
    case 'shadow':
      return isKept;
    case 'proven':
      return isKept && isProven;
    case 'steady':
      return isKept && isSteady;
    case 'slow':
      return !isKept;
  }
}

/**
 * The digest that stands for an address prefix. Each prefix has a salt of its own, which its members may be told: with it
 * they see that the digest is of their prefix, and nobody can try out the prefixes of others.
 */
export function networkDigest(salt: Uint8Array, prefix: string): string {
  return toBase64(sha256(Uint8Array.of(...salt, ...utf8(`chorus-roster-prefix/1 ${prefix}`))).slice(0, 16));
}

function leafOf(lines: readonly (string | number)[]): Hash {
  return leafHash(utf8([...lines, ''].join('\n')));
}
