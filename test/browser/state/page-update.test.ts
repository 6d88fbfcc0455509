import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import { explainError } from '../../../web/words/explain-error.ts';
import { fetchProgram, loadedPart, programOf } from '../../../web/browser/page-program.ts';
import { PageUpdate } from '../../../web/state/page/page-update.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';

beforeEach(() => sessionStorage.clear());
afterEach(() => vi.restoreAllMocks());

function setUp(
  now: () => Promise<string | null>,
  { program = 'old.js', reloadedFrom = null }: { program?: string | null; reloadedFrom?: string | null } = {},
) {
  const clock = new FakeClock();
  const counts = { asked: 0, reloads: 0 };
  const fetchNow = () => {
    counts.asked++;
    return now();
  };
  const reload = () => counts.reloads++;
  const page = { isBusy: false, isHidden: false };
  const [isBusy, isHidden] = [() => page.isBusy, () => page.isHidden];
  const update = new PageUpdate({ program, fetchProgram: fetchNow, reload, isBusy, isHidden, clock, reloadedFrom });
  return { update, clock, counts, page };
}

const updated = () => Promise.resolve('new.js');
const same = () => Promise.resolve('old.js');
const other = () => Promise.resolve(null);
const unreachable = () => Promise.reject(new TypeError('Failed to fetch'));

test('an update is offered once, however often something fails after it', async () => {
  const { update, clock, counts } = setUp(updated);
  await update.check();
  expect(update.offer).toBe('updated');
  update.dismiss();
  await clock.advance(60_000);
  await update.check();
  await update.check(true);
  expect([update.offer, counts.asked]).toEqual([null, 1]);
});

test.each([
  ['ten minutes, in sight', false, 600_000],
  ['a minute, out of sight', true, 60_000],
])('an outdated page is loaded anew once nobody has touched it for %s', async (_, isHidden, idleMs) => {
  const { update, clock, counts, page } = setUp(updated);
  page.isHidden = isHidden;
  await update.check();
  await clock.advance(idleMs - 20_000);
  update.touch();
  await clock.advance(idleMs - 10_000);
  expect(counts.reloads).toBe(0);
  await clock.advance(20_000);
  expect(counts.reloads).toBe(1);
});

test('an outdated page that does something is not loaded anew before that is over', async () => {
  const { update, clock, counts, page } = setUp(updated);
  [page.isBusy, page.isHidden] = [true, true];
  await update.check();
  await clock.advance(3_600_000);
  expect(counts.reloads).toBe(0);
  page.isBusy = false;
  await clock.advance(10_000);
  expect(counts.reloads).toBe(1);
});

test.each([
  ['that a reload has brought already', updated, { reloadedFrom: 'old.js' }],
  ['of which only a part is missing', same, {}],
])('a page %s is not loaded anew by itself', async (_, now, given) => {
  const { update, clock, counts, page } = setUp(now, given);
  page.isHidden = true;
  await update.check(true);
  await clock.advance(3_600_000);
  expect([update.offer === null, counts.reloads]).toEqual([false, 0]);
});

test.each([
  ['the server has the same page', same, {}],
  ['the server has something else in its place', other, {}],
  ['the server cannot be reached', unreachable, {}],
  ['it is not known what this page is', updated, { program: null }],
])('a failure of any kind offers no reload where %s', async (_, now, given) => {
  const { update } = setUp(now, given);
  await update.check();
  expect(update.offer).toBeNull();
});

test.each([
  ['an updated page', updated, {}, 'updated'],
  ['the same page', same, {}, 'incomplete'],
  ['something else in its place', other, {}, 'incomplete'],
  ['nothing, since it cannot be reached', unreachable, {}, null],
  ['the same page, which a reload has brought already', same, { reloadedFrom: 'old.js' }, null],
  ['the page of before, after a reload of another', same, { reloadedFrom: 'older.js' }, 'incomplete'],
] as const)(
  'where code of the page is gone and the server has %s, the offer is right',
  async (_, now, given, offer) => {
    const { update } = setUp(now, given);
    await update.check(true);
    expect(update.offer).toBe(offer);
  },
);

test('the server is asked every 10 s at most', async () => {
  const { update, clock, counts } = setUp(same);
  await Promise.all([update.check(), update.check()]);
  await clock.advance(9_999);
  await update.check();
  expect(counts.asked).toBe(1);
  await clock.advance(1);
  await update.check();
  expect(counts.asked).toBe(2);
});

test('the person reloads, the page never does', async () => {
  const { update, counts } = setUp(updated);
  await update.check();
  expect(counts.reloads).toBe(0);
  update.accept();
  expect(counts.reloads).toBe(1);
});

const page = (program: string) => `<!doctype html><script type="module" src="${program}"></script><div id="app"></div>`;

test.each<[string, Response, string | null]>([
  ['a page', new Response(page('/assets/index-new.js')), `${location.origin}/assets/index-new.js`],
  ['a page of another', new Response('<h1>Please log in</h1>'), null],
  ['an error', new Response(page('/assets/index-new.js'), { status: 502 }), null],
])('the program of %s is told', async (_, response, program) => {
  vi.spyOn(window, 'fetch').mockResolvedValue(response);
  expect(await fetchProgram()).toBe(program);
});

test('two builds of one page have the same program', () => {
  const parse = () => new DOMParser().parseFromString(page('/assets/index-old.js'), 'text/html');
  expect(programOf(parse())).toBe(programOf(parse()));
});

test('code that is gone is told in our words, the browser’s own apart', async () => {
  const gone = new TypeError('Failed to fetch dynamically imported module: /assets/join-x.js');
  const error = await loadedPart(Promise.reject(gone)).catch((thrown: unknown) => thrown as ChorusError);
  expect(explainError(error).title).toBe('A part of this page could not be loaded');
  expect(error).toMatchObject({ details: { isProgramGone: true }, raw: String(gone) });
  expect(await loadedPart(Promise.resolve('here'))).toBe('here');
});
