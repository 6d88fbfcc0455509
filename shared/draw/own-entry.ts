import { canonicalBase64 } from '../crypto/strict-envelope.ts';
import { equalBytes } from '../bytes.ts';
import type { PeerId } from '../ids.ts';
import { isIncluded, pathRoot } from '../log/merkle.ts';
import { hashesIn } from './draw-path.ts';
import type { Look } from './draw-form.ts';
import { memberLeaf, networkDigest, networkLeaf, sectionLeaf, type PoolName, type Section } from './roster.ts';

/** A volunteer's entry in a roster, as the server shows it to that volunteer. */
export interface OwnEntry {
  readonly pool: PoolName;
  readonly section: Section;
  /** Of the section among `sections` of the roster. */
  readonly sectionIndex: number;
  readonly sections: number;
  readonly sectionPath: string;
  /** Root of the roster, in base64. */
  readonly root: string;
  /** Of its network in the pool. */
  readonly networkIndex: number;
  /** Of itself in its network. */
  readonly memberIndex: number;
  readonly look: Look;
}

export type EntryFault = 'not-in-roster' | 'another-key' | 'another-class' | 'false-network';

/**
 * What is wrong with a volunteer's own entry; null where it is as it should be. `prefix` is the address prefix that the volunteer is seen
 * under, and `salt` that of the digest.
 */
export function faultInEntry(
  { pool, section, sectionIndex, sections, sectionPath, root, networkIndex, memberIndex, look }: OwnEntry,
  own: { readonly id: PeerId; readonly numericClass: string; readonly prefix: string; readonly salt: Uint8Array },
): EntryFault | null {
  const { network, members, path, memberPath, skip: _skip, ...member } = look;
  const inner = pathRoot(memberLeaf(member), memberIndex, members, hashesIn(memberPath));
  const head = section.pools[pool];
  const outer =
    inner && pathRoot(networkLeaf({ network, members }, inner), networkIndex, head.networks, hashesIn(path));
  const isThere =
    outer !== null &&
    equalBytes(outer, head.root) &&
    isIncluded(sectionLeaf(section), sectionIndex, sections, hashesIn(sectionPath), canonicalBase64(root));
  if (!isThere) return 'not-in-roster';
  if (member.id !== own.id) return 'another-key';
  if (member.numericClass !== own.numericClass) return 'another-class';
  return network === networkDigest(own.salt, own.prefix) ? null : 'false-network';
}
