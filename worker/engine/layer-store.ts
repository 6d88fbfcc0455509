import type { Plan } from '#shared/model/engine/plan.ts';
import type { EngineMemory } from './engine-memory.ts';
import { BATCH_ROWS } from './slot-places.ts';

/** Keys and values of one session: for each layer [kv heads][capacity][head size] of f32, keys first. */
export interface StoredSession {
  readonly at: number;
  /** Positions, in fours. */
  readonly capacity: number;
}

/**
 * KV inside the engine's memory. It is f32: halves would take half the room, and add an error (5e-4 of each value) that is
 * larger than all others of the engine together.
 */
export interface LayerStore {
  bytes(capacity: number): number;
  /** Throws `out-of-memory`. Nothing is cleared, for nothing is read before it is written. */
  open(capacity: number): StoredSession;
  close(session: StoredSession): void;
  /** Fills the tables with where the keys and the values of `layer` begin for each of `rows` rows. */
  point(session: StoredSession, layer: number, rows: number): void;
  readonly keysAt: number;
  readonly valuesAt: number;
  /** Room for one row's scores. */
  readonly scoresAt: () => number;
}

export function createLayerStore(memory: EngineMemory, { layers, kvHeads, headSize }: Plan): LayerStore {
  const keysAt = memory.allocate(4 * BATCH_ROWS);
  const valuesAt = memory.allocate(4 * BATCH_ROWS);
  const halfBytes = (capacity: number): number => 4 * kvHeads * inFours(capacity) * headSize;
  const bytes = (capacity: number): number => 2 * layers * halfBytes(capacity);
  let scores = { at: 0, bytes: 0 };
  return {
    bytes,
    open(capacity) {
      const needed = 4 * inFours(capacity);
      if (needed > scores.bytes) {
        // The room is given up only for a larger one, for open sessions need it whether there is more or not.
        const larger = { at: memory.allocate(needed), bytes: needed };
        if (scores.bytes > 0) memory.free(scores.at, scores.bytes);
        scores = larger;
      }
      return { at: memory.allocate(bytes(capacity)), capacity: inFours(capacity) };
    },
    close: (session) => memory.free(session.at, bytes(session.capacity)),
    point(session, layer, rows) {
      const keys = session.at + 2 * layer * halfBytes(session.capacity);
      memory.words(keysAt, rows).fill(keys);
      memory.words(valuesAt, rows).fill(keys + halfBytes(session.capacity));
    },
    keysAt,
    valuesAt,
    scoresAt: () => scores.at,
  };
}

function inFours(positions: number): number {
  return Math.ceil(positions / 4) * 4;
}
