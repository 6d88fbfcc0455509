import type { AcknowledgedSizes } from '../acknowledged-sizes.ts';

export function createMemoryAcknowledgedSizes(): AcknowledgedSizes {
  const sizes = new Map<string, number>();
  return {
    async write(origin, size) {
      sizes.set(origin, Math.max(size, sizes.get(origin) ?? 0));
    },
    read: (origin) => sizes.get(origin) ?? 0,
    largest() {
      const [most] = [...sizes].sort(([, a], [, b]) => b - a);
      return most === undefined || most[1] === 0 ? null : { origin: most[0], size: most[1] };
    },
  };
}
