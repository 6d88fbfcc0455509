import { isOfEngineFormat } from '#shared/judge/numeric-class.ts';

/** `float`: two classes of floating point; `mixed`: the engine beside one; `int16`: two of the engine. */
export type PairFormats = 'float' | 'mixed' | 'int16';

/** The formats of rows that the two classes of a pair multiply. */
export function formatsOf(pair: string): PairFormats {
  const ofEngine = pair.split(' + ').filter(isOfEngineFormat).length;
  return ofEngine === 0 ? 'float' : ofEngine === 1 ? 'mixed' : 'int16';
}
