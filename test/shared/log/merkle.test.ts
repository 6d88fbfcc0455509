import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '#shared/bytes.ts';
import {
  consistencyProof,
  inclusionProof,
  isConsistent,
  isIncluded,
  leafHash,
  nodeHash,
  treeRoot,
  type Hash,
  type ReadHash,
} from '#shared/log/merkle.ts';

/** Complete subtrees over `leaves`, made the plain way. */
function readerOf(leaves: readonly Hash[]): ReadHash {
  const levels: Hash[][] = [[...leaves]];
  for (let below = levels[0]!; below.length > 1; below = levels.at(-1)!) {
    levels.push(
      Array.from({ length: Math.floor(below.length / 2) }, (_, i) => nodeHash(below[2 * i]!, below[2 * i + 1]!)),
    );
  }
  return (level, index) => levels[level]![index]!;
}

/** RFC 6962 section 2.1, as it is written there. */
function rootByDefinition(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return sha256(new Uint8Array());
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)));
}

const MOST = 70;
const leaves = Array.from({ length: MOST }, (_, i) => leafHash(utf8(`entry ${i}`)));
const read = readerOf(leaves);
const roots = Array.from({ length: MOST + 1 }, (_, size) => rootByDefinition(leaves.slice(0, size)));

describe('the Merkle tree', () => {
  it('has the root of its definition at every size', () => {
    for (let size = 0; size <= MOST; size++) expect(toHex(treeRoot(size, read))).toBe(toHex(roots[size]!));
  });

  it('proves every leaf of every size', () => {
    for (let size = 1; size <= MOST; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, read);
        expect(isIncluded(leaves[index]!, index, size, proof, roots[size]!)).toBe(true);
      }
    }
  });

  it('proves every tree to begin with every smaller one', () => {
    for (let size = 0; size <= MOST; size++) {
      for (let old = 0; old <= size; old++) {
        const proof = consistencyProof(old, size, read);
        expect(isConsistent([old, roots[old]!], [size, roots[size]!], proof)).toBe(true);
      }
    }
  });

  it('refuses an inclusion proof with any one thing wrong', () => {
    const [index, size] = [41, 59];
    const [leaf, root, proof] = [leaves[index]!, roots[size]!, inclusionProof(index, size, read)];
    expect(isIncluded(leaves[42]!, index, size, proof, root)).toBe(false);
    expect(isIncluded(leaf, 40, size, proof, root)).toBe(false);
    expect(isIncluded(leaf, index, 128, proof, root)).toBe(false);
    expect(isIncluded(leaf, index, 41, proof, root)).toBe(false);
    expect(isIncluded(leaf, -1, size, proof, root)).toBe(false);
    expect(isIncluded(leaf, 0.5, size, proof, root)).toBe(false);
    expect(isIncluded(leaf, index, size, proof.slice(1), root)).toBe(false);
    expect(isIncluded(leaf, index, size, proof.slice(0, -1), root)).toBe(false);
    expect(isIncluded(leaf, index, size, [...proof, leaf], root)).toBe(false);
    expect(isIncluded(leaf, index, size, proof, roots[size - 1]!)).toBe(false);
    for (let i = 0; i < proof.length; i++) {
      const changed = proof.map((hash, j) => (j === i ? flipped(hash) : hash));
      expect(isIncluded(leaf, index, size, changed, root)).toBe(false);
    }
  });

  it('refuses a consistency proof with any one thing wrong', () => {
    for (const [old, size] of [
      [21, 59],
      [32, 59],
      [1, 2],
    ] as const) {
      const [from, to, proof] = [roots[old]!, roots[size]!, consistencyProof(old, size, read)];
      expect(isConsistent([old, flipped(from)], [size, to], proof)).toBe(false);
      expect(isConsistent([old, from], [size, flipped(to)], proof)).toBe(false);
      expect(isConsistent([size, to], [old, from], proof)).toBe(false);
      expect(isConsistent([old, from], [size, to], proof.slice(1))).toBe(false);
      expect(isConsistent([old, from], [size, to], [...proof, from])).toBe(false);
      for (let i = 0; i < proof.length; i++) {
        const changed = proof.map((hash, j) => (j === i ? flipped(hash) : hash));
        expect(isConsistent([old, from], [size, to], changed)).toBe(false);
      }
    }
    expect(isConsistent([0, leaves[0]!], [5, roots[5]!], [])).toBe(false);
    expect(isConsistent([5, roots[5]!], [5, roots[6]!], [])).toBe(false);
  });
});

function flipped(hash: Hash): Hash {
  const copy = hash.slice();
  copy[7]! ^= 1;
  return copy;
}
