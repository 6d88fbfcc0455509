import type { EngineMemory } from './engine-memory.ts';
import { BLOCK_COLUMNS, type Plan, type Slot, type Step, viewsOf } from '#shared/model/engine/plan.ts';

/** Rows that go through the steps together: enough to read the weights once for many, few enough to stay in the cache. */
export const BATCH_ROWS = 32;

/** Where each slot's rows lie while they are needed. */
export interface SlotPlaces {
  at(slot: Slot): number;
  /** Floats from one row to the next. */
  stride(slot: Slot): number;
}

/** Gives each slot a place from the step that makes it to the last that reads it; others use it before and after. */
export function placeSlots(memory: EngineMemory, plan: Plan): SlotPlaces {
  const lastRead = new Map<number, number>([[plan.output.slot.id, plan.steps.length]]);
  plan.steps.forEach((step, i) => {
    for (const slot of readSlots(step)) lastRead.set(slot.id, Math.max(i, lastRead.get(slot.id) ?? 0));
  });
  const places = new Map<number, number>();
  const free: { at: number; stride: number }[] = [];
  const take = (slot: Slot): void => {
    const stride = strideOf(slot);
    const found = free
      .filter((place) => place.stride >= stride)
      .reduce<(typeof free)[number] | null>(
        (best, place) => (best && best.stride <= place.stride ? best : place),
        null,
      );
    if (found === null) places.set(slot.id, memory.allocate(4 * BATCH_ROWS * stride));
    else {
      free.splice(free.indexOf(found), 1);
      places.set(slot.id, found.at);
      widths.set(slot.id, found.stride);
    }
    if (!widths.has(slot.id)) widths.set(slot.id, stride);
  };
  /** Widths of the places, which may be those of wider slots before. */
  const widths = new Map<number, number>();
  if (plan.input !== null) take(plan.input);
  plan.steps.forEach((step, i) => {
    take(step.to);
    for (const slot of new Set([...readSlots(step), step.to])) {
      if ((lastRead.get(slot.id) ?? i) !== i) continue;
      lastRead.set(slot.id, -1);
      free.push({ at: places.get(slot.id)!, stride: widths.get(slot.id)! });
    }
  });
  return { at: (slot) => places.get(slot.id)!, stride: strideOf };
}

/** A whole number of blocks, so that quantizing reads whole blocks. */
function strideOf(slot: Slot): number {
  return Math.ceil(slot.width / BLOCK_COLUMNS) * BLOCK_COLUMNS;
}

function readSlots(step: Step): Slot[] {
  return viewsOf(step).map(({ slot }) => slot);
}
