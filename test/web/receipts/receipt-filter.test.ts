import { describe, expect, it } from 'vitest';
import { receiptQuerySchema } from '#shared/wire/receipt-list.ts';
import { addressOf, filterOf, parseChosen, type ChosenReceipts } from '../../../web/receipts/receipt-filter.ts';

const NONE: ChosenReceipts = { model: null, tier: null, from: null, to: null };

describe('the receipts that an address asks for', () => {
  it('are those that were chosen', () => {
    const chosen = parseChosen(`model=${'a'.repeat(64)}&tier=settled&from=2026-03-01&to=2026-03-05`);
    expect(chosen).toEqual({ model: 'a'.repeat(64), tier: 'settled', from: '2026-03-01', to: '2026-03-05' });
    const [path, query] = addressOf(chosen).split('?');
    expect(path).toBe('/receipts');
    expect(parseChosen(query!)).toEqual(chosen);
    expect(addressOf(NONE)).toBe('/receipts');
  });

  it.each([
    'model=wren',
    `model=${'A'.repeat(64)}`,
    'tier=verified',
    'from=yesterday',
    'from=2026-02-30',
    'from=0202-01-01',
    'to=2026-03-01T00:00:00Z',
    'to=',
    'sort=tier',
    '',
  ])('are all of them where nothing can be read: %s', (query) => {
    expect(parseChosen(query)).toEqual(NONE);
  });

  it('are between two days in whichever order these come', () => {
    expect(parseChosen('from=2026-03-05&to=2026-03-01')).toMatchObject({ from: '2026-03-01', to: '2026-03-05' });
  });

  it('are of whole days by the clock of this device, the last one included', () => {
    const { from, to } = filterOf({ ...NONE, from: '2026-03-01', to: '2026-03-01' });
    expect(new Date(from!).getTime()).toBe(new Date(2026, 2, 1).getTime());
    expect(new Date(to!).getTime()).toBe(new Date(2026, 2, 2).getTime());
    expect(filterOf({ ...NONE, to: '2999-12-31' }).to).toBe(`${new Date(3000, 0, 1).toISOString().slice(0, 19)}Z`);
  });

  it('are asked for in the words of the server', () => {
    const filter = filterOf(parseChosen(`model=${'a'.repeat(64)}&tier=disputed&from=2026-03-29&to=2026-03-29`));
    expect(receiptQuerySchema.parse({ ...filter, limit: '7' })).toEqual({ ...filter, before: null, limit: 7 });
  });
});
