import type { NodeProto } from 'onnx-buf';
import { NotPlanned, viewsOf, type Attention, type Step, type View } from './plan.ts';

/** An attention that turns its queries and keys where they lie, at `index` of the plan's steps. */
export interface TurningAttention {
  readonly node: NodeProto;
  readonly index: number;
  readonly attention: Attention;
}

/** Throws NotPlanned where turned queries or keys are read as they were before, under whatever name. */
export function checkTurned(turning: readonly TurningAttention[], steps: readonly Step[], output: View): void {
  const reads = new Map<number, { readonly index: number; readonly view: View }[]>();
  const note = (view: View, index: number): void => {
    const { id } = view.slot;
    if (!reads.has(id)) reads.set(id, []);
    reads.get(id)!.push({ index, view });
  };
  steps.forEach((step, index) => viewsOf(step).forEach((view) => note(view, index)));
  note(output, steps.length);
  for (const { node, index, attention } of turning) {
    const { query, key, value } = attention;
    const isRead = (turned: View): boolean =>
      (reads.get(turned.slot.id) ?? []).some((read) => read.index > index && overlap(read.view, turned));
    const isShared = overlap(query, key) || overlap(query, value) || overlap(key, value);
    if (isShared || isRead(query) || isRead(key)) throw new NotPlanned(node, 'others read its queries or keys');
  }
}

function overlap(a: View, b: View): boolean {
  return a.slot.id === b.slot.id && a.offset < b.offset + b.width && b.offset < a.offset + a.width;
}
