import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fetchProgram, programOf } from '../../../web/browser/page-program.ts';
import { PageUpdate } from '../../../web/state/page/page-update.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';

beforeEach(() => sessionStorage.clear());
afterEach(() => vi.restoreAllMocks());

function setUp(now: () => Promise<string | null>, program: string | null = 'old.js') {
  const clock = new FakeClock();
  const counts = { asked: 0, reloads: 0 };
  const fetchNow = () => {
    counts.asked++;
    return now();
  };
  const update = new PageUpdate({ program, fetchProgram: fetchNow, reload: () => counts.reloads++, clock });
  return { update, clock, counts };
}

test('an update is offered once, however often something fails after it', async () => {
  const { update, clock, counts } = setUp(() => Promise.resolve('new.js'));
  await update.check();
  expect(update.isOffered).toBe(true);
  update.dismiss();
  await clock.advance(60_000);
  await update.check();
  expect([update.isOffered, counts.asked]).toEqual([false, 1]);
});

test.each<[string, () => Promise<string | null>, string | null]>([
  ['the server has the same page', () => Promise.resolve('old.js'), 'old.js'],
  ['the server has something else in its place', () => Promise.resolve(null), 'old.js'],
  ['the server cannot be reached', () => Promise.reject(new TypeError('Failed to fetch')), 'old.js'],
  ['it is not known what this page is', () => Promise.resolve('new.js'), null],
])('none is offered where %s', async (_, now, program) => {
  const { update } = setUp(now, program);
  await update.check();
  expect(update.isOffered).toBe(false);
});

test('the server is asked every 10 s at most', async () => {
  const { update, clock, counts } = setUp(() => Promise.resolve('old.js'));
  await Promise.all([update.check(), update.check()]);
  await clock.advance(9_999);
  await update.check();
  expect(counts.asked).toBe(1);
  await clock.advance(1);
  await update.check();
  expect(counts.asked).toBe(2);
});

test('the person reloads, the page never does', async () => {
  const { update, counts } = setUp(() => Promise.resolve('new.js'));
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
