import { beforeEach, expect, test } from 'vitest';
import { ServedTotals } from '../../../web/state/served-totals.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';

beforeEach(() => localStorage.clear());

/** A tab of this browser with a volunteer that says what it has done so far. */
function openTab() {
  const clock = new FakeClock();
  const totals = new ServedTotals({ storage: localStorage, clock, exclusively: (work) => work() });
  let listener = (): void => undefined;
  const volunteer = {
    state: { tokensServed: 0, spansShadowed: 0, spansCommitted: 0 },
    onChange: (added: () => void) => {
      listener = added;
      return () => undefined;
    },
  };
  totals.follow(volunteer);
  const serve = (tokensServed: number, spansShadowed = 0, spansCommitted = 0): void => {
    volunteer.state = { tokensServed, spansShadowed, spansCommitted };
    listener();
  };
  return { clock, totals, serve };
}

test('work is counted as it happens, and there after a reload', async () => {
  const { clock, totals, serve } = openTab();
  serve(5);
  serve(12, 1, 2);
  expect(totals.sums).toMatchObject({ tokens: 12, chunksRerun: 1, chunksCommitted: 2 });
  await clock.advance(2_000);
  expect(openTab().totals.sums).toMatchObject({ tokens: 12, chunksRerun: 1, chunksCommitted: 2 });
});

test('a sitting that begins anew adds to the one before', () => {
  const { totals, serve } = openTab();
  serve(100, 4);
  serve(0);
  serve(3);
  expect(totals.sums).toMatchObject({ tokens: 103, chunksRerun: 4 });
});

test('two tabs of one browser count together, and lose nothing to each other', () => {
  const [one, other] = [openTab(), openTab()];
  one.serve(10);
  other.serve(7);
  one.totals.flush();
  other.totals.flush();
  one.totals.reread();
  expect([one.totals.sums.tokens, other.totals.sums.tokens]).toEqual([17, 17]);
  one.totals.name = '  Heron ';
  other.totals.reread();
  expect(other.totals.name).toBe('Heron');
});

test('what is stored and is none counts as nothing', () => {
  localStorage.setItem('chorus.served', '{"tokens":-5}');
  localStorage.setItem('chorus.name', '"' + 'x'.repeat(500) + '"');
  const { totals } = openTab();
  expect([totals.sums.tokens, totals.name]).toEqual([0, '']);
});
