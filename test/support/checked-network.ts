import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { TOY_VOCABULARY } from './toy-model.ts';
import { ToyNetwork } from './toy-network.ts';

/** A prompt of `length` tokens. */
export const prompt = (length: number) =>
  Array.from({ length }, (_, i) => 1 + ((7 * i + length) % (TOY_VOCABULARY - 1)));

export type EventOf<Type extends AnswerEvent['type']> = Extract<AnswerEvent, { type: Type }>;
/** The events of one type. */
export function only<Type extends AnswerEvent['type']>(events: readonly AnswerEvent[], type: Type): EventOf<Type>[] {
  return events.filter((event): event is EventOf<Type> => event.type === type);
}

/** The tokens that stand, where some were taken back. */
export function standing(events: readonly AnswerEvent[], promptLength: number): number[] {
  const tokens: number[] = [];
  for (const event of events) {
    if (event.type === 'rerouted' || event.type === 'redrawn')
      tokens.length = Math.min(tokens.length, event.from - promptLength);
    if (event.type === 'token') tokens.push(event.token);
  }
  return tokens;
}

/** Tokens other than those of `truth` that were reported as checked or settled, by position. */
export function wrongShown(events: readonly AnswerEvent[], truth: readonly number[], promptLength: number): number[] {
  const shown = new Map<number, number>();
  const wrong = new Set<number>();
  for (const event of events) {
    if (event.type === 'token') shown.set(event.position, event.token);
    if (event.type === 'rerouted' || event.type === 'redrawn') {
      for (const position of shown.keys()) if (position >= event.from) shown.delete(position);
    }
    if (event.type !== 'checked' || (event.check.tier !== 'checked' && event.check.tier !== 'settled')) continue;
    for (const [position, token] of shown) {
      if (position <= event.check.end && token !== truth[position - promptLength]) wrong.add(position);
    }
  }
  return [...wrong];
}

/** Two replicas for each stage, and a referee and an arbiter for each where wished. */
export function checkedNetwork(reserves: readonly ('arbiter' | 'referee')[] = ['arbiter', 'referee'], replicas = 2) {
  const network = new ToyNetwork(replicas);
  network.shadows = 1;
  for (const stage of [0, 1, 2]) for (const reserve of reserves) network.addVolunteer(stage, 4, reserve);
  return network;
}

/** Hidden rows, each number times `factor`, from `start` on. */
export const scaled = (factor: number, start: number) => (rows: Rows) => {
  const values = new Float32Array(rows.bytes.slice().buffer);
  const from = Math.max(0, start - rows.start);
  for (let i = from; i < values.length; i++) values[i] = values[i]! * factor;
  return rows.kind === 'hidden' ? { ...rows, bytes: new Uint8Array(values.buffer) } : rows;
};
