import { basename, dirname } from 'node:path';
import { drawFrom, seeded } from './draw.ts';
import type { Mutant, Place } from './mutant.ts';
import type { Source } from './sources.ts';

export interface Found {
  readonly place: Place;
  /** By its whole statement, or by its expression alone. */
  readonly how: 'whole' | 'near';
}

/** A statement as short as this says too little to be known by it alone. */
const SHORT = 24;

/** Where each mutant is now, in the order of the list; null for one whose code was rewritten. No place is given twice. */
export function locate(
  mutants: readonly Mutant[],
  sources: readonly Source[],
  moves: ReadonlyMap<string, string>,
): (Found | null)[] {
  const places = sources.flatMap((source) => source.places);
  const taken = new Set<Place>();
  const found: (Found | null)[] = mutants.map(() => null);
  for (const how of ['whole', 'near'] as const) {
    const index = indexBy(places, how);
    mutants.forEach((mutant, i) => {
      if (found[i] !== null) return;
      const place = best(mutant, index.get(keyOf(mutant, how)) ?? [], taken, moves, how);
      if (place === null) return;
      taken.add(place);
      found[i] = { place, how };
    });
  }
  return found;
}

/** Another of the same kind, in the file that took the place of the mutant's, or beside it; null if there is none. */
export function successor(
  mutant: Mutant,
  number: number,
  sources: readonly Source[],
  moves: ReadonlyMap<string, string>,
  drawn: readonly Mutant[],
): Place | null {
  const file = moves.get(mutant.file) ?? mutant.file;
  const near = [
    sources.filter((source) => source.file === file),
    sources.filter((source) => source.places.some((place) => place.mutant.member === mutant.member)),
    sources.filter((source) => dirname(source.file) === dirname(file)),
    sources,
  ];
  const random = seeded(number);
  for (const some of near) {
    const places = some.flatMap((source) => source.places).filter((place) => place.mutant.kind === mutant.kind);
    const other = drawFrom({ places }, drawn, random);
    if (other !== null) return places.find((place) => place.mutant === other) ?? null;
  }
  return null;
}

function keyOf({ kind, original, replacement, statement, expression, member }: Mutant, how: Found['how']): string {
  const rest = how === 'whole' ? [statement] : [expression, lastOf(member)];
  return JSON.stringify([kind, original, replacement, ...rest]);
}

function indexBy(places: readonly Place[], how: Found['how']): Map<string, Place[]> {
  const index = new Map<string, Place[]>();
  for (const place of places) {
    const key = keyOf(place.mutant, how);
    const known = index.get(key);
    if (known === undefined) index.set(key, [place]);
    else known.push(place);
  }
  return index;
}

function best(
  mutant: Mutant,
  places: readonly Place[],
  taken: ReadonlySet<Place>,
  moves: ReadonlyMap<string, string>,
  how: Found['how'],
): Place | null {
  const file = moves.get(mutant.file) ?? mutant.file;
  const scored = places
    .filter((place) => !taken.has(place))
    .map((place) => ({ place, score: likeness(mutant, place.mutant, file) }))
    .sort((a, b) => b.score - a.score);
  const first = scored[0];
  if (first === undefined) return null;
  const isTelling = how === 'whole' && mutant.statement.length > SHORT;
  return isTelling || first.score >= 4 ? first.place : null;
}

function likeness(mutant: Mutant, other: Mutant, file: string): number {
  let score = 0;
  if (other.file === file) score += 8;
  else if (basename(other.file) === basename(mutant.file)) score += 4;
  if (other.member === mutant.member) score += 5;
  else if (lastOf(other.member) === lastOf(mutant.member)) score += 2;
  if (other.context === mutant.context && other.context !== '') score += 4;
  if (other.expression === mutant.expression) score += 1;
  if (other.ordinal === mutant.ordinal) score += 1;
  return score;
}

function lastOf(member: string): string {
  return member.split('.').at(-1)!;
}
