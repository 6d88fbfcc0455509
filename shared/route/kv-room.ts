/** Positions of a usual session: a question with what came before it, and its answer. */
const USUAL_POSITIONS = 1024;

/**
 * Positions of keys and values that a volunteer has room for, over all its sessions together: for a usual session in each of
 * its slots, and for one as long as the model allows. Sessions say at their start how long they may get.
 */
export function kvRoom(maxPositions: number, slots: number): number {
  return Math.max(maxPositions, slots * Math.min(maxPositions, USUAL_POSITIONS));
}
