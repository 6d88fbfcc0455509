import { sha256 } from '@noble/hashes/sha2.js';
import { equalBytes } from '../bytes.ts';

/** 32 bytes. */
export type Hash = Uint8Array<ArrayBuffer>;

/**
 * The hash of the complete subtree of 2^level leaves that begins at leaf index * 2^level. Trees here are those of
 * RFC 6962 section 2.1, which C2SP's tlog-tiles and RFC 9162 keep.
 */
export type ReadHash = (level: number, index: number) => Hash;

/** Hashes of the longest proof of an entry, or of growth, that is read. */
export const MAX_PROOF_HASHES = 63;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The root of the tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT: Hash = sha256(new Uint8Array());

/** SHA-256 of 0x00 and the entry. */
export function leafHash(entry: Uint8Array): Hash {
  return sha256.create().update(LEAF).update(entry).digest();
}

/** SHA-256 of 0x01 and both children. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Hash {
  return sha256.create().update(NODE).update(left).update(right).digest();
}

/** The root of a tree of `size` leaves. */
export function treeRoot(size: number, read: ReadHash): Hash {
  return size === 0 ? EMPTY_ROOT : rangeRoot(0, size, read);
}

/** Hashes from the leaf's sibling up to the root's child (RFC 6962 section 2.1.1). Needs 0 <= index < size. */
export function inclusionProof(index: number, size: number, read: ReadHash): Hash[] {
  if (index < 0 || index >= size) throw new RangeError(`leaf ${index} is not in a tree of ${size}`);
  return path(index, 0, size, read);
}

/** The proof that a tree of `newSize` leaves begins with that of `oldSize` (RFC 6962 section 2.1.2). */
export function consistencyProof(oldSize: number, newSize: number, read: ReadHash): Hash[] {
  if (oldSize < 0 || oldSize > newSize) throw new RangeError(`no tree of ${newSize} begins with one of ${oldSize}`);
  return oldSize === 0 || oldSize === newSize ? [] : subproof(oldSize, 0, newSize, true, read);
}

/** Whether `proof` leads from `leaf` at `index` to `root` (RFC 9162 section 2.1.3.2). */
export function isIncluded(leaf: Hash, index: number, size: number, proof: readonly Hash[], root: Hash): boolean {
  const reached = pathRoot(leaf, index, size, proof);
  return reached !== null && equalBytes(reached, root);
}

/** The root of the tree of `size` leaves that `proof` leads to from `leaf` at `index`; null for a proof of another length. */
export function pathRoot(leaf: Hash, index: number, size: number, proof: readonly Hash[]): Hash | null {
  if (!isSize(index) || !isSize(size) || index >= size) return null;
  let [node, last] = [index, size - 1];
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) return null;
    if (isOdd(node) || node === last) {
      hash = nodeHash(sibling, hash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 ? hash : null;
}

/** Whether `proof` shows that the tree with `newRoot` begins with that of `oldRoot` (RFC 9162 section 2.1.4.2). */
export function isConsistent(
  [oldSize, oldRoot]: readonly [number, Hash],
  [newSize, newRoot]: readonly [number, Hash],
  proof: readonly Hash[],
): boolean {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (oldSize === newSize) return proof.length === 0 && equalBytes(oldRoot, newRoot);
  // Every tree begins with the empty one.
  if (oldSize === 0) return proof.length === 0 && equalBytes(oldRoot, EMPTY_ROOT);
  let [node, last] = [oldSize - 1, newSize - 1];
  while (isOdd(node)) [node, last] = [half(node), half(last)];
  // A complete old tree is itself the first node.
  const nodes = node === 0 && isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof];
  const first = nodes.shift();
  if (first === undefined) return false;
  let [oldHash, newHash] = [first, first];
  for (const sibling of nodes) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newHash = nodeHash(newHash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && equalBytes(oldHash, oldRoot) && equalBytes(newHash, newRoot);
}

function rangeRoot(start: number, end: number, read: ReadHash): Hash {
  const count = end - start;
  if (isPowerOfTwo(count)) return read(Math.log2(count), start / count);
  const split = start + largestPowerBelow(count);
  return nodeHash(rangeRoot(start, split, read), rangeRoot(split, end, read));
}

function path(index: number, start: number, end: number, read: ReadHash): Hash[] {
  if (end - start === 1) return [];
  const split = start + largestPowerBelow(end - start);
  return index < split
    ? [...path(index, start, split, read), rangeRoot(split, end, read)]
    : [...path(index, split, end, read), rangeRoot(start, split, read)];
}

function subproof(oldEnd: number, start: number, end: number, isWhole: boolean, read: ReadHash): Hash[] {
  if (oldEnd === end) return isWhole ? [] : [rangeRoot(start, end, read)];
  const split = start + largestPowerBelow(end - start);
  return oldEnd <= split
    ? [...subproof(oldEnd, start, split, isWhole, read), rangeRoot(split, end, read)]
    : [...subproof(oldEnd, split, end, false, read), rangeRoot(start, split, read)];
}

/** The largest power of two that is smaller than `count`, which is at least 2. */
function largestPowerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

function isPowerOfTwo(count: number): boolean {
  return count === 1 || largestPowerBelow(count) * 2 === count;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}
