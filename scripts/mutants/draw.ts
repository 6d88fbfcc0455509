import type { Mutant } from './mutant.ts';
import type { Source } from './sources.ts';

/** Numbers from 0 up to 1, always the same for one seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws `count` different mutants, from each file in proportion to its lines, of its kinds each as likely. */
export function draw(sources: readonly Source[], count: number, seed: number): Mutant[] {
  const random = seeded(seed);
  const lines = sources.map(({ text }) => text.split('\n').length);
  const total = lines.reduce((sum, each) => sum + each, 0);
  const offset = random();
  const drawn: Mutant[] = [];
  for (let i = 0; i < count; i++) {
    let at = ((i + offset) / count) * total;
    let index = lines.findIndex((each) => (at -= each) < 0);
    let mutant: Mutant | null = null;
    // A file of types alone has none, and a small one may have given all that it has.
    for (let tried = 0; mutant === null && tried < sources.length; tried++) {
      mutant = drawFrom(sources[index]!, drawn, random);
      index = (index + 1) % sources.length;
    }
    if (mutant === null) break;
    drawn.push(mutant);
  }
  return drawn;
}

/** One mutant of a file that is not among `drawn`; null if there is none. */
export function drawFrom(
  { places }: Pick<Source, 'places'>,
  drawn: readonly Mutant[],
  random: () => number,
): Mutant | null {
  const left = places.map(({ mutant }) => mutant).filter((mutant) => !drawn.some((other) => isSame(mutant, other)));
  const kinds = [...new Set(left.map(({ kind }) => kind))].sort();
  const kind = kinds[Math.floor(random() * kinds.length)];
  const ofKind = left.filter((mutant) => mutant.kind === kind);
  return ofKind[Math.floor(random() * ofKind.length)] ?? null;
}

export function isSame(a: Mutant, b: Mutant): boolean {
  return (
    a.file === b.file &&
    a.member === b.member &&
    a.kind === b.kind &&
    a.statement === b.statement &&
    a.context === b.context &&
    a.expression === b.expression &&
    a.original === b.original &&
    a.replacement === b.replacement &&
    a.ordinal === b.ordinal
  );
}
