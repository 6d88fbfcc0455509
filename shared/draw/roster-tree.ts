import { toBase64 } from '../bytes.ts';
import type { Digest } from '../ids.ts';
import { EMPTY_ROOT, inclusionProof, nodeHash, treeRoot, type Hash, type ReadHash } from '../log/merkle.ts';
import type { StageRange } from '../model/stage.ts';
import {
  fitsPool,
  memberLeaf,
  networkLeaf,
  type NetworkHead,
  POOLS,
  sectionLeaf,
  type PoolName,
  type RosterMember,
  type Section,
} from './roster.ts';

/** A volunteer of one range, with its network's digest. */
export interface RosterEntry {
  readonly member: RosterMember;
  readonly network: string;
  /** True for a measured replica of an exact class. */
  readonly isExact: boolean;
}

export interface RosterSection {
  readonly model: Digest;
  readonly range: StageRange;
  readonly entries: readonly RosterEntry[];
}

/** A network of a pool, with its members in order. */
export interface NetworkNode {
  readonly network: string;
  readonly members: readonly RosterMember[];
  readonly tree: HashTree;
}

export interface PoolNode {
  readonly networks: readonly NetworkNode[];
  readonly tree: HashTree;
}

export interface SectionNode {
  readonly index: number;
  readonly section: Section;
  readonly pools: Readonly<Record<PoolName, PoolNode>>;
}

/** A Merkle tree in memory, as logs have them (RFC 6962). */
export class HashTree {
  readonly root: Hash;
  readonly #levels: Hash[][];

  constructor(leaves: readonly Hash[]) {
    this.#levels = [[...leaves]];
    for (let below = this.#levels[0]!; below.length > 1; below = this.#levels.at(-1)!) {
      const level: Hash[] = [];
      for (let i = 0; i + 1 < below.length; i += 2) level.push(nodeHash(below[i]!, below[i + 1]!));
      this.#levels.push(level);
    }
    this.root = leaves.length === 0 ? EMPTY_ROOT : treeRoot(leaves.length, this.#read);
  }

  get size(): number {
    return this.#levels[0]!.length;
  }

  /** Hashes that lead from a leaf to the root. */
  path(index: number): Hash[] {
    return inclusionProof(index, this.size, this.#read);
  }

  readonly #read: ReadHash = (level, index) => this.#levels[level]![index]!;
}

/** Leaves that are kept, so that of a roster that changes only what has changed is hashed again. */
export class LeafMemo {
  readonly #most: number;
  readonly #members = new Map<string, Hash>();
  readonly #networks = new Map<string, Hash>();

  /** `most` leaves of each kind. */
  constructor(most: number) {
    this.#most = most;
  }

  member(member: RosterMember): Hash {
    return this.#kept(this.#members, keyOfMember(member), () => memberLeaf(member));
  }

  network(head: NetworkHead, root: Hash): Hash {
    return this.#kept(this.#networks, `${head.network} ${head.members} ${toBase64(root)}`, () =>
      networkLeaf(head, root),
    );
  }

  #kept(kept: Map<string, Hash>, key: string, make: () => Hash): Hash {
    const known = kept.get(key);
    if (known !== undefined) return known;
    if (kept.size >= this.#most) kept.clear();
    const leaf = make();
    kept.set(key, leaf);
    return leaf;
  }
}

/** The roster of all models: what is committed to, and what proofs are made from. */
export class RosterTree {
  readonly tree: HashTree;
  readonly #sections = new Map<string, SectionNode>();

  constructor(sections: readonly RosterSection[], memo = new LeafMemo(Infinity)) {
    const nodes = sections
      .map((given) => ({ key: keyOf(given.model, given.range), given }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .map(({ key, given }, index) => ({ key, node: sectionNode(given, index, memo) }));
    for (const { key, node } of nodes) this.#sections.set(key, node);
    this.tree = new HashTree(nodes.map(({ node }) => sectionLeaf(node.section)));
  }

  get root(): Hash {
    return this.tree.root;
  }

  section(model: Digest, range: StageRange): SectionNode | undefined {
    return this.#sections.get(keyOf(model, range));
  }
}

function sectionNode({ model, range, entries }: RosterSection, index: number, memo: LeafMemo): SectionNode {
  const members = entries.map(({ member }) => member);
  const hasExact = entries.some(({ isExact }) => isExact);
  const mayLead = members.filter(({ isMeasured }) => isMeasured || !hasExact);
  const fastest = Math.min(...(mayLead.length === 0 ? members : mayLead).map(({ speed }) => speed));
  const facts = { fastest: members.length === 0 ? 0 : fastest, hasExact };
  const proven = members.filter(({ isProven }) => isProven).length;
  // A primary that has not proven itself takes two shadows, one of which has.
  const isUnprovenLed = proven === 0 || members.length > 2;
  const made: { readonly fitting: readonly RosterEntry[]; readonly node: PoolNode }[] = [];
  const poolOf = (name: PoolName): PoolNode => {
    const fitting = entries.filter(
      ({ member }) => fitsPool(name, member, facts) && (name !== 'lead' || isUnprovenLed || member.isProven),
    );
    // Where all are alike, pools have the same members, and one tree does for them.
    const same = made.find((other) => isEqual(other.fitting, fitting));
    const node = same?.node ?? poolNode(fitting, memo);
    made.push({ fitting, node });
    return node;
  };
  const pools = Object.fromEntries(POOLS.map((name) => [name, poolOf(name)])) as Record<PoolName, PoolNode>;
  const heads = Object.fromEntries(
    POOLS.map((name) => [name, { networks: pools[name].networks.length, root: pools[name].tree.root }]),
  ) as Section['pools'];
  return { index, section: { model, range, members: members.length, ...facts, pools: heads }, pools };
}

function isEqual(a: readonly RosterEntry[], b: readonly RosterEntry[]): boolean {
  return a.length === b.length && a.every((entry, i) => entry === b[i]);
}

function poolNode(entries: readonly RosterEntry[], memo: LeafMemo): PoolNode {
  const byNetwork = new Map<string, RosterMember[]>();
  for (const { network, member } of entries) {
    const others = byNetwork.get(network);
    if (others === undefined) byNetwork.set(network, [member]);
    else others.push(member);
  }
  const networks = [...byNetwork]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([network, group]) => {
      const members = [...group].sort((a, b) => (a.id < b.id ? -1 : 1));
      return { network, members, tree: new HashTree(members.map((member) => memo.member(member))) };
    });
  const leaves = networks.map(({ network, members, tree }) =>
    memo.network({ network, members: members.length }, tree.root),
  );
  return { networks, tree: new HashTree(leaves) };
}

function keyOfMember({ id, numericClass, speed, isProven, isSteady, isMeasured }: RosterMember): string {
  return `${id} ${numericClass} ${speed} ${isProven} ${isSteady} ${isMeasured}`;
}

function keyOf(model: Digest, { start, end, embedding, head }: StageRange): string {
  return `${model} ${start} ${end} ${embedding} ${head}`;
}
