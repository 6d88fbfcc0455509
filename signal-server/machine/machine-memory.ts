import { totalmem } from 'node:os';
import type { Config } from './config.ts';

const MIB = 1024 * 1024;
const [LEAST_PLEDGE, MOST_PLEDGE] = [256 * MIB, 4096 * MIB];

/** Bytes of memory that this process may use at most: the machine's, or those of the container that it is in. */
export function memoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Bytes that each of so many anchors lends where nobody said how much: together half of the memory. What no stage needs is not taken. */
export function defaultPledge(anchors: number, machineBytes = memoryBytes()): number {
  const share = Math.floor(machineBytes / 2 / Math.max(1, anchors) / MIB) * MIB;
  return Math.max(LEAST_PLEDGE, Math.min(share, MOST_PLEDGE));
}

/** What each of a server's anchors lends. */
export function lentByAnchors({ anchors, anchorPledge, anchorSlots }: Config): { pledgeBytes: number; slots: number } {
  return { pledgeBytes: anchorPledge === null ? defaultPledge(anchors) : anchorPledge * MIB, slots: anchorSlots };
}
