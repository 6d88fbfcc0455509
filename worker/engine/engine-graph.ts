import { ChorusError } from '#shared/errors.ts';
import { TOP_K } from '#shared/limits.ts';
import type { Plan, Slot } from '#shared/model/engine/plan.ts';
import { logitsRowBytes } from '#shared/rows/logits-row.ts';
import type { GraphSession, LoadedGraph, StageInput } from '../loaded-graph.ts';
import { compileSteps } from './compile-steps.ts';
import { EngineMemory } from './engine-memory.ts';
import { createLayerStore } from './layer-store.ts';
import { placeWeights } from './place-weights.ts';
import { BATCH_ROWS, placeSlots } from './slot-places.ts';
import type { WeightSource } from './weight-source.ts';

export interface EngineGraphOptions {
  readonly module: WebAssembly.Module;
  readonly plan: Plan;
  readonly weights: WeightSource;
  readonly vocabularySize: number;
}

/**
 * Loads a planned stage into the engine. A row's bits depend on its input alone, so a run's rows go through in batches.
 * Throws `out-of-memory` or `bad-model`.
 */
export async function loadEngineGraph({
  module,
  plan,
  weights,
  vocabularySize,
}: EngineGraphOptions): Promise<LoadedGraph> {
  const memory = await EngineMemory.open(module);
  const { functions } = memory;
  const places = placeSlots(memory, plan);
  const rowsAt = memory.allocate(4 * 6 * BATCH_ROWS);
  // Words for each row of a batch: token, its own index, wanted index, position, capacity, and where its layer's keys begin.
  const words = (column: number) => rowsAt + 4 * column * BATCH_ROWS;
  const [tokensAt, identityAt, wantedAt, positionsAt, capacitiesAt] = [
    words(0),
    words(1),
    words(2),
    words(3),
    words(4),
  ];
  memory.words(identityAt, BATCH_ROWS).set(Array.from({ length: BATCH_ROWS }, (_, i) => i));
  const store = createLayerStore(memory, plan);
  const placed = await placeWeights(memory, plan, weights);
  const compiled = compileSteps(memory, plan, {
    places,
    weights: placed,
    store,
    tokensAt,
    identityAt,
    wantedAt,
    positionsAt,
    capacitiesAt,
  });
  const candidateCount = Math.min(TOP_K, vocabularySize);
  const candidatesAt = memory.allocate(BATCH_ROWS * logitsRowBytes(candidateCount));
  const weightBytes = memory.usedBytes;

  /**
   * Runs [start, start + count), batch by batch, and hands each batch's output rows to `take`. Nothing is read or written
   * outside of tables and sessions, whoever calls: the values of a probe come straight from a manifest.
   */
  function run(
    session: ReturnType<typeof store.open>,
    start: number,
    count: number,
    input: StageInput,
    wanted: readonly number[],
    take: (at: number, stride: number, rows: number) => void,
  ): void {
    if (start + count > session.capacity) {
      throw new ChorusError('too-long', `the session has room for ${session.capacity} positions`);
    }
    if (plan.input === null && input.some((token) => token >= vocabularySize)) {
      throw new ChorusError('bad-message', `a token is not one of the vocabulary's ${vocabularySize}`);
    }
    const { slot, offset } = plan.output;
    const out = places.at(slot) + 4 * offset;
    for (let first = 0; first < count; first += BATCH_ROWS) {
      const rows = Math.min(BATCH_ROWS, count - first);
      if (plan.input === null) memory.words(tokensAt, rows).set(input.subarray(first, first + rows));
      else fill(plan.input, input as Float32Array, first, rows);
      memory.words(positionsAt, rows).set(Array.from({ length: rows }, (_, i) => start + first + i));
      memory.words(capacitiesAt, rows).fill(session.capacity);
      const here = wanted.filter((place) => place >= first && place < first + rows).map((place) => place - first);
      memory.words(wantedAt, here.length).set(here);
      compiled.run(session, rows, here.length);
      const made = slot.isWanted ? here.length : rows;
      if (made > 0) take(out, places.stride(slot), made);
    }
  }

  function fill(slot: Slot, values: Float32Array, first: number, rows: number): void {
    const stride = places.stride(slot);
    const to = memory.floats(places.at(slot), rows * stride);
    for (let row = 0; row < rows; row++) {
      to.set(values.subarray((first + row) * slot.width, (first + row + 1) * slot.width), row * stride);
    }
  }

  function openSession(capacity: number): GraphSession {
    if (capacity > compiled.maxPositions) {
      throw new ChorusError('too-long', `the model's angles end at ${compiled.maxPositions} positions`);
    }
    const session = store.open(capacity);
    const { width } = plan.output;
    return {
      async forward(start, count, input, wanted) {
        const rows = plan.output.slot.isWanted ? wanted.length : count;
        const values = new Float32Array(rows * width);
        let done = 0;
        run(session, start, count, input, wanted, (at, stride, made) => {
          functions.settle_nan(at, (made - 1) * stride + width);
          const from = memory.floats(at, (made - 1) * stride + width);
          for (let row = 0; row < made; row++, done++) {
            values.set(from.subarray(row * stride, row * stride + width), done * width);
          }
        });
        return values;
      },
      async candidates(start, count, input, wanted) {
        const rowBytes = logitsRowBytes(candidateCount);
        const bytes = new Uint8Array(wanted.length * rowBytes);
        let done = 0;
        run(session, start, count, input, wanted, (at, stride, made) => {
          functions.candidates(at, stride, made, vocabularySize, candidateCount, candidatesAt);
          bytes.set(memory.bytes(candidatesAt, made * rowBytes), done * rowBytes);
          done += made;
        });
        return bytes;
      },
      // What lies beyond is overwritten before it is read.
      cut: () => undefined,
      release: () => store.close(session),
    };
  }

  return {
    weightBytes,
    kvBytes: (capacity) => store.bytes(capacity),
    open: async (capacity) => openSession(capacity),
    release: async () => undefined,
  };
}
