import { describe, expect, it } from 'vitest';
import { isThorough, repetitions } from '../../support/effort.ts';
import { honestPairs, honestTrial, inventorRow, inventors } from './class-inventors.ts';

const ANSWERS = repetitions(2, 500);
/** Of each inventor; in `npm test` one whose prompt is longer than a chunk. */
const INVENTED = isThorough ? { from: 0, count: ANSWERS } : { from: 1, count: 1 };

describe.each(honestPairs)('$name, both honest,', { timeout: 600_000 }, (pair) => {
  it.each([0, 1])('answer rightly at temperature %d, all of it checked, and nobody is accused', async (temperature) => {
    for (let answer = 0; answer < ANSWERS; answer++) {
      expect(await honestTrial(pair, temperature, answer)).toMatchObject({
        ...{ isTextRight: true, tier: 'checked', falseAccusations: 0, wrongShown: 0, codes: [] },
      });
    }
  });
});

describe.each([0, 1])(
  'at temperature %d, a primary of a class that it made up',
  { timeout: 600_000 },
  (temperature) => {
    describe.each(inventors)('that $name', (inventor) => {
      it.each(['alone', 'with the arbiter'] as const)(
        '%s moves no token: an exact shadow draws for itself',
        async (league) => {
          expect(await inventorRow(inventor, league, temperature, INVENTED)).toMatchObject({
            ...{ wrongShown: 0, right: INVENTED.count, checked: INVENTED.count, falseAccusations: 0 },
          });
        },
      );

      it('gains nothing above unchecked by a shadow and an arbiter in league', async () => {
        const row = await inventorRow(inventor, 'with the only shadow, and the arbiter', temperature, INVENTED);
        expect(row).toMatchObject({ wrongShown: 0, checked: 0, falseAccusations: 0 });
      });
    });
  },
);
