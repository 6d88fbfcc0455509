import type { Manifest } from '#shared/model/manifest.ts';

/** A part of a model, or neighbouring layers of one size. */
export interface PartSize {
  readonly name: string;
  /** Of each. */
  readonly bytes: number;
  readonly count: number;
}

const NAMES: Readonly<Record<string, string>> = { embedding: 'Embedding', head: 'Head', common: 'Common' };

/** The sizes of a model's parts in their order, with neighbouring layers of one size said together. What has no bytes of its own is left out. */
export function sizesOf(parts: readonly Pick<Manifest['parts'][number], 'name' | 'blob'>[]): PartSize[] {
  const sizes: { first: number; last: number; name: string; bytes: number }[] = [];
  for (const { name, blob } of parts) {
    const layer = /^layer\.(\d+)$/.exec(name)?.[1];
    const before = sizes.at(-1);
    if (layer !== undefined && before?.bytes === blob.bytes && before.last === Number(layer) - 1) before.last += 1;
    else if (blob.bytes > 0) sizes.push({ first: Number(layer), last: Number(layer), name, bytes: blob.bytes });
  }
  return sizes.map(({ first, last, name, bytes }) => {
    if (Number.isNaN(first)) return { name: NAMES[name] ?? name, bytes, count: 1 };
    const text = first === last ? `Layer ${first}` : `Layers ${first}–${last}`;
    return { name: text, bytes, count: last - first + 1 };
  });
}
