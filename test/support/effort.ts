/** True under `npm run test:thorough`, which repeats at full counts what `npm test` does a few times. */
export const isThorough = import.meta.env?.['CHORUS_TEST_EFFORT'] === 'thorough';

/** How often something is repeated: `usual` times by `npm test`, `thorough` times by `npm run test:thorough`. */
export function repetitions(usual: number, thorough: number): number {
  return isThorough ? thorough : usual;
}
