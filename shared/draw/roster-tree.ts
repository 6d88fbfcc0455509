import type { Digest } from '../ids.ts';
import { EMPTY_ROOT, inclusionProof, nodeHash, treeRoot, type Hash, type ReadHash } from '../log/merkle.ts';
import type { StageRange } from '../model/stage.ts';
import {
  fitsPool,
  memberLeaf,
  networkLeaf,
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

/** The roster of all models: what is committed to, and what proofs are made from. */
export class RosterTree {
  readonly tree: HashTree;
  readonly #sections = new Map<string, SectionNode>();

  /** `leafOf` gives the leaf of a volunteer, for whoever has it already. */
  constructor(sections: readonly RosterSection[], leafOf: (member: RosterMember) => Hash = memberLeaf) {
    const nodes = sections
      .map((given) => ({ key: keyOf(given.model, given.range), given }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .map(({ key, given }, index) => ({ key, node: sectionNode(given, index, leafOf) }));
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

function sectionNode(
  { model, range, entries }: RosterSection,
  index: number,
  leafOf: (member: RosterMember) => Hash,
): SectionNode {
  const members = entries.map(({ member }) => member);
  const hasExact = entries.some(({ isExact }) => isExact);
  const mayLead = members.filter(({ isMeasured }) => isMeasured || !hasExact);
  const fastest = Math.min(...(mayLead.length === 0 ? members : mayLead).map(({ speed }) => speed));
  const facts = { fastest: members.length === 0 ? 0 : fastest, hasExact };
  const proven = members.filter(({ isProven }) => isProven).length;
  // A primary that has not proven itself takes two shadows, one of which has.
  const isUnprovenLed = proven === 0 || members.length > 2;
  const pools = Object.fromEntries(
    POOLS.map((name) => {
      const fitting = entries.filter(
        ({ member }) => fitsPool(name, member, facts) && (name !== 'lead' || isUnprovenLed || member.isProven),
      );
      return [name, poolNode(fitting, leafOf)];
    }),
  ) as Record<PoolName, PoolNode>;
  const heads = Object.fromEntries(
    POOLS.map((name) => [name, { networks: pools[name].networks.length, root: pools[name].tree.root }]),
  ) as Section['pools'];
  return { index, section: { model, range, members: members.length, ...facts, pools: heads }, pools };
}

function poolNode(entries: readonly RosterEntry[], leafOf: (member: RosterMember) => Hash): PoolNode {
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
      return { network, members, tree: new HashTree(members.map(leafOf)) };
    });
  const leaves = networks.map(({ network, members, tree }) =>
    networkLeaf({ network, members: members.length }, tree.root),
  );
  return { networks, tree: new HashTree(leaves) };
}

function keyOf(model: Digest, { start, end, embedding, head }: StageRange): string {
  return `${model} ${start} ${end} ${embedding} ${head}`;
}
