import { expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { Network } from '../../../web/state/network.svelte.ts';
import { networkSnapshot } from '../../support/page-gallery/fixtures.ts';

/** A network whose timers are caught instead of run. */
function setUp(options: { fails?: boolean; isHidden?: boolean } = {}) {
  const delaysMs: number[] = [];
  const heardMs: number[] = [];
  let fails = options.fails ?? false;
  const network = new Network({
    fetchNetwork: () =>
      fails ? Promise.reject(new ChorusError('server-lost', 'gone')) : Promise.resolve(networkSnapshot(0)),
    clock: {
      wallMs: () => 5,
      nowMs: () => 0,
      setTimer: (_task, delayMs) => {
        delaysMs.push(delayMs);
        return () => undefined;
      },
    },
    isHidden: () => options.isHidden ?? false,
    onSnapshot: ({ serverTimeMs }) => heardMs.push(serverTimeMs),
  });
  return { network, delaysMs, heardMs, setFails: (value: boolean) => (fails = value) };
}

test('a watched network is asked oftener than one in the background, a hidden one hardly', async () => {
  const watched = setUp();
  watched.network.watch();
  await watched.network.refresh();
  const background = setUp();
  await background.network.refresh();
  const hidden = setUp({ isHidden: true });
  await hidden.network.refresh();
  const [a, b, c] = [watched, background, hidden].map(({ delaysMs }) => delaysMs.at(-1) ?? 0) as [
    number,
    number,
    number,
  ];
  expect(a).toBeLessThan(b);
  expect(b).toBeLessThan(c);
});

test('a lost server is said, the last picture kept, and pauses grow up to a limit', async () => {
  const { network, delaysMs, setFails } = setUp();
  await network.refresh();
  setFails(true);
  for (let i = 0; i < 8; i++) await network.refresh();
  expect(network.status).toBe('lost');
  expect(network.snapshot).not.toBeNull();
  expect(delaysMs.slice(1, 4)).toEqual([2500, 5000, 10_000]);
  expect(delaysMs.at(-1)).toBe(30_000);
  setFails(false);
  await network.refresh();
  expect(network.status).toBe('live');
});

test('what the server says of itself, such as the time, is passed on, and nothing where it says nothing', async () => {
  const { network, heardMs, setFails } = setUp();
  await network.refresh();
  setFails(true);
  await network.refresh();
  expect(heardMs).toEqual([networkSnapshot(0).serverTimeMs]);
});
